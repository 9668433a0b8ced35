"""All tables, by name, and the one that fits a configuration."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from fedgrow.architectures.axes import KNOWN_AXES, parts
from fedgrow.architectures.table import Family
from fedgrow.errors import ArchitectureError


@cache
def families() -> Mapping[str, Family]:
    """Load every table, by its name."""
    folder = resources.files("fedgrow.architectures") / "families"
    files = {
        f.name: yaml.safe_load(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".yaml")
    }
    raw = {table["family"]: table for table in files.values()}
    tables = {name: Family.model_validate(_whole(table, raw)) for name, table in sorted(raw.items())}
    for table in tables.values():
        for head in (None, *table.heads):
            for spec in table.specs(head):
                unknown = {part for label in spec.axes for part in parts(label)} - KNOWN_AXES
                if unknown:
                    raise ArchitectureError(
                        f"{table.family}: {spec.name} names unknown axes {sorted(unknown)}"
                    )
    return tables


def _whole(table: dict[str, Any], raw: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Lay a table over the one that it extends; null takes an entry away."""
    if "extends" not in table:
        return table
    return _over(_whole(raw[table["extends"]], raw), table)


def _over(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = {key: _over(base.get(key), value) for key, value in change.items() if value is not None}
    return {key: value for key, value in base.items() if key not in change} | merged


def family_of(config: Any) -> Family:
    """Return the table for a Hugging Face configuration.

    Raises:
        ArchitectureError: the family has no table, or the configuration asks for something that cannot grow.
    """
    tables = [table for table in families().values() if table.model_type == config.model_type]
    if not tables:
        known = dict.fromkeys(table.model_type for table in families().values())
        raise ArchitectureError(
            f"model_type {config.model_type!r} has no growth table; known families: {', '.join(known)}"
        )
    fitting = [table for table in tables if _fits(table, config)]
    if not fitting:
        fields = dict.fromkeys(field for t in tables for field in t.when)
        found = ", ".join(f"{field}={getattr(config, field, None)}" for field in fields)
        raise ArchitectureError(
            f"{config.model_type}: no growth table fits {found}; "
            + "; ".join(f"{t.family} wants {condition(t)}" for t in tables)
        )
    table = max(fitting, key=lambda t: len(t.when))
    if getattr(config, "quantization_config", None):
        raise ArchitectureError(
            f"{table.family}: the weights are quantized (quantization_config in config.json), and growth needs plain ones; "
            "take the model from before, or load it with transformers, call its dequantize() and save it"
        )
    for field, refused in table.refused_config.items():
        if getattr(config, field, None) == refused:
            raise ArchitectureError(
                f"{table.family}: {field}={refused} has no growth rule; use a model with another setting"
            )
    return table


def _fits(table: Family, config: Any) -> bool:
    """Whether a configuration meets a table's condition; ``=field`` and ``!field`` stand for another field's value."""

    def fits(found: Any, wanted: Any) -> bool:
        if isinstance(wanted, str) and wanted[0] in "=!":
            return (found == getattr(config, wanted[1:])) is (wanted[0] == "=")
        return bool(found == wanted)

    return all(fits(getattr(config, field, None), wanted) for field, wanted in table.when.items())


def condition(table: Family) -> str:
    """Return in words which configurations a table is for."""
    told = []
    for field, wanted in table.when.items():
        other = isinstance(wanted, str) and wanted[0] in "=!"
        told.append(f"{field} {wanted[0]}= {wanted[1:]}".replace("==", "=") if other else f"{field}={wanted}")
    return ", ".join(told) or f"model_type={table.model_type}"
