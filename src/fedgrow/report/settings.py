"""Every setting of plans, sites' files and studies with its kind and default, as tables made from their declarations."""

import json
from typing import Any

from pydantic import BaseModel

from fedgrow.config.plan import Plan
from fedgrow.config.site import SitePlan
from fedgrow.config.study import Study
from fedgrow.markdown import table

FILES: dict[str, type[BaseModel]] = {"A plan": Plan, "A site's file": SitePlan, "A study": Study}
KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def settings_document() -> str:
    """Return the generated part of docs/settings.md."""
    lines: list[str] = []
    told: set[str] = set()
    for title, model in FILES.items():
        schema = model.model_json_schema()
        lines += [f"## {title}", ""]
        named: dict[str, list[str]] = {}  # the parts that are settings themselves, by what declares them
        for name, field in schema["properties"].items():
            for part in _parts(field):
                named.setdefault(part, []).append(name)
        lines += [*table(_rows(schema)), ""]
        for part, names in _reached(schema, named).items():
            if part in told:
                continue
            told.add(part)
            lines += [
                f"### {', '.join(f'`{name}`' for name in names)}",
                "",
                *table(_rows(schema["$defs"][part])),
                "",
            ]
    return "\n".join(lines).rstrip()


def _reached(schema: dict[str, Any], named: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return all parts, those within parts after them, each by the settings that hold it."""
    found = dict(named)
    for part in list(found):
        for name, field in schema["$defs"][part]["properties"].items():
            for inner in _parts(field):
                found.setdefault(inner, [f"{named[part][0]}.{name}"])
    return found


def _parts(field: dict[str, Any]) -> list[str]:
    """Return what declares the settings within a field."""
    ways = [field, *field.get("anyOf", []), field.get("items", {}), _values(field)]
    refs = [way["$ref"] for way in ways if "$ref" in way]
    return [ref.rpartition("/")[2] for ref in refs]


def _values(field: dict[str, Any]) -> dict[str, Any]:
    """Return what the values of a mapping are, where that is said."""
    found: Any = field.get("additionalProperties") or next(
        iter(field.get("patternProperties", {}).values()), {}
    )
    return found if isinstance(found, dict) else {}


def _rows(schema: dict[str, Any]) -> list[list[str]]:
    required = schema.get("required", [])
    rows = [["setting", "kind", "default", "meaning"]]
    for name, field in schema["properties"].items():
        default = field.get("default")
        said = field.get("description", "")
        shown = "" if said.startswith("default:") else f"`{json.dumps(default)}`"
        shown = "required" if name in required and shown else shown
        if name not in required and ("default" not in field or (_parts(field) and default is not None)):
            shown = ""  # made anew, or its own settings' defaults
        rows.append([f"`{name}`", _kind(field), shown, said])
    return rows


def _kind(field: dict[str, Any]) -> str:
    """Say what a setting may be."""
    if "anyOf" in field:
        ways = [_kind(way) for way in field["anyOf"] if way.get("type") != "null"]
        return " or ".join(dict.fromkeys(ways))
    if "$ref" in field:
        return "settings"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        items = field.get("items") or {}
        return f"list of {_kind(items)}" if items else "list"
    if field.get("type") == "object":
        values = _values(field)
        return f"by name: {_kind(values)}" if values else "by name: values"
    bounds = [f"{word} {field[key]:g}" for key, word in BOUNDS.items() if key in field and field[key] < 2**20]
    return " ".join([KINDS.get(field.get("type", ""), "anything"), ", ".join(bounds)]).strip()
