"""Read a plan: YAML, settings from the command line over it, and errors that name the setting."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fedgrow.config.plan import Plan
from fedgrow.errors import FedgrowError


def load_plan(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read and check a plan.

    Args:
        path: a YAML file, or the name of a shipped plan (see ``shipped_plans``).
        overrides: ``dotted.key=value`` settings, the value in YAML; list entries are addressed by number.

    Raises:
        FedgrowError: the file is missing or not YAML, or a setting is wrong; the text names it.
    """
    file = Path(path)
    if not file.is_file():
        shipped = shipped_plans().get(str(path))
        if shipped is None:
            raise FedgrowError(
                f"plan {str(path)!r}: no such file; give a YAML file or a shipped plan ({', '.join(shipped_plans())})"
            )
        file = shipped
    return parse_plan(file.read_text("utf-8"), str(path), file.parent, overrides)


def parse_plan(text: str, name: str, folder: Path, overrides: Sequence[str] = ()) -> Plan:
    """Check a plan's text; local paths in it count from ``folder`` or from the working directory."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        at = f" at line {where.line + 1}" if where else ""
        raise FedgrowError(
            f"plan {name!r} is not valid YAML{at}: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(raw, dict):
        raise FedgrowError(f"plan {name!r} holds {type(raw).__name__}, expected settings (key: value)")
    for override in overrides:
        _set(raw, override)
    raw = _fill_paths(raw, raw.pop("paths", None) or {}, name)
    plan = validate(Plan, raw, f"plan {name!r}")
    return plan.resolve_path(Path.cwd()).resolve_path(folder)


def validate(model: type[Plan], raw: Any, what: str) -> Plan:
    """Validate settings, turning the first errors into one text that names each setting."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False)[:5]:
            setting = ".".join(str(part) for part in item["loc"]) or "plan"
            found = "" if item["type"] in ("missing", "value_error") else f" (found {item['input']!r})"
            lines.append(f"  {setting}: {item['msg'].removeprefix('Value error, ')}{found}")
        raise FedgrowError(f"{what} is not valid:\n" + "\n".join(lines)) from None


def shipped_plans() -> dict[str, Path]:
    """Return the plans that come with fedgrow, by name."""
    folder = Path(str(resources.files("fedgrow.config") / "plans"))
    return {f.stem: f for f in sorted(folder.glob("*.yaml"))}


def _fill_paths(value: Any, paths: dict[str, str], name: str) -> Any:
    """Put the plan's ``paths`` where other settings name them as ``${key}``."""
    if isinstance(value, dict):
        return {key: _fill_paths(item, paths, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_paths(item, paths, name) for item in value]
    if isinstance(value, str) and (named := re.fullmatch(r"\$\{(\w+)\}", value)):
        if named[1] not in paths:
            raise FedgrowError(
                f"plan {name!r}: {value} is not among its paths ({', '.join(paths) or 'none'})"
            )
        return str(paths[named[1]])
    return value


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise FedgrowError(f"--set {override!r}: expected key=value, such as schedule.rounds=4")
    *parents, leaf = key.split(".")
    node: Any = raw
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(leaf)] = yaml.safe_load(value)
        else:
            node[leaf] = yaml.safe_load(value)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise FedgrowError(f"--set {override!r}: {key!r} does not lead to a setting of the plan") from None
