"""Read a plan: YAML, settings from the command line over it, and errors that name the setting."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedgrow.config.home import at_home
from fedgrow.config.plan import Plan
from fedgrow.config.shipped import shipped_plans, shipped_studies
from fedgrow.config.study import Study
from fedgrow.config.text import read_yaml
from fedgrow.errors import FedgrowError

M = TypeVar("M", bound=BaseModel)
LONGEST = 80  # characters of a wrong value that an error shows


def load_plan(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read and check a plan.

    Args:
        path: a YAML file, or the name of a shipped plan (see ``shipped_plans``).
        overrides: ``dotted.key=value`` settings, the value in YAML; list entries are addressed by number.

    Raises:
        FedgrowError: the file is missing or not YAML, or a setting is wrong; the text names it.
    """
    file, text = _read(path, shipped_plans(), "plan")
    return parse_plan(text, str(path), file.parent, overrides)


def parse_plan(text: str, name: str, folder: Path, overrides: Sequence[str] = ()) -> Plan:
    """Check a plan's text; local paths in it count from ``folder`` or from the working directory."""
    raw = settings(text, f"plan {name!r}")
    if "methods" in raw:
        raise FedgrowError(f"plan {name!r}: it is a study (it has methods); run it with `fedgrow compare`")
    for override in overrides:
        _set(raw, override)
    named = [
        key.removeprefix("paths.") for one in overrides if (key := one.partition("=")[0]).startswith("paths.")
    ]
    paths = raw.pop("paths", None) or {}
    _check_paths(named, used_paths(raw), f"plan {name!r}")
    if not isinstance(paths, dict):
        raise FedgrowError(
            f"plan {name!r}: paths is {paths!r}, expected names with a path each, such as paths: {{data: FILE}}"
        )
    raw = _fill_paths(raw, paths, name)
    plan = validate(Plan, raw, f"plan {name!r}")
    return plan.resolve_path(Path.cwd()).resolve_path(folder)


def used_paths(raw: Any) -> set[str]:
    """Return the names of paths that a plan uses, from its settings or its text."""
    return set(re.findall(PLACE, raw if isinstance(raw, str) else str(raw)))


def plan_paths(path: str | Path) -> set[str]:
    """Return the names of paths that a plan's file, or a shipped plan, uses."""
    return used_paths(_read(path, shipped_plans(), "plan")[1])


def _check_paths(named: Sequence[str], used: Collection[str], what: str) -> None:
    for name in named:
        if name not in used:
            raise FedgrowError(
                f"paths.{name}: {what} uses no such path; it uses {', '.join(sorted(used)) or 'none'}"
            )


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study; plans and paths in it count from its folder or from the working directory.

    Args:
        path: a YAML file, or the name of a shipped study (see ``shipped_studies``).
        overrides: ``dotted.key=value`` settings, the value in YAML.

    Raises:
        FedgrowError: the file is missing or not YAML, or a setting is wrong; the text names it.
    """
    file, text = _read(path, shipped_studies(), "study")
    raw = settings(text, f"study {str(path)!r}")
    if "participants" in raw:
        raise FedgrowError(
            f"study {str(path)!r}: it is a plan (it has participants); run it with `fedgrow simulate`, or name it in a "
            "study, as plan: FILE"
        )
    for override in overrides:
        _set(raw, override)
    study = validate(Study, raw, f"study {str(path)!r}")

    def beside(value: str, is_there: Callable[[Path], bool]) -> str:
        path = file.parent / at_home(value)
        return str(path.resolve()) if is_there(path) else value

    def plan(value: str | None) -> str | None:
        return value and beside(value, Path.is_file)  # a folder may be called like a shipped plan

    used = used_paths([study.set, *(task.set for task in study.tasks.values())]).union(
        *(plan_paths(source) for task in study.tasks.values() if (source := plan(task.plan or study.plan)))
    )
    _check_paths(list(study.paths), used, "the study")
    tasks = {name: task.model_copy(update={"plan": plan(task.plan)}) for name, task in study.tasks.items()}
    paths = {name: beside(value, Path.exists) for name, value in study.paths.items()}
    return study.model_copy(update={"plan": plan(study.plan), "paths": paths, "tasks": tasks})


def _read(path: str | Path, shipped: Mapping[str, Path], what: str) -> tuple[Path, str]:
    file = Path(path)
    if not file.is_file():
        if str(path) not in shipped:
            raise FedgrowError(
                f"{what} {str(path)!r}: no such file; give a YAML file or a shipped {what} ({', '.join(shipped)})"
            )
        file = shipped[str(path)]
    try:
        return file, file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FedgrowError(f"{what} {str(path)!r} cannot be read as UTF-8 text: {error}") from None


def settings(text: str, what: str) -> dict[str, Any]:
    """Read settings, not yet checked, from a file's text.

    Raises:
        FedgrowError: it is not YAML, or holds something else.
    """
    try:
        raw = read_yaml(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        at = f" at line {where.line + 1}" if where else ""
        raise FedgrowError(f"{what} is not valid YAML{at}: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise FedgrowError(f"{what} is nested too deeply; expected settings (key: value)") from None
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else f"a {type(raw).__name__}"
        raise FedgrowError(f"{what} holds {found}, expected settings (key: value)")
    return raw


def validate(model: type[M], raw: Any, what: str) -> M:
    """Validate settings, turning the first errors into one text that names each setting."""
    if (setting := _with_null(raw)) is not None:
        raise FedgrowError(f"{what} is not valid:\n  {setting}: it holds a null character; take it out")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = []
        for item in _told(error)[:5]:
            setting = (
                ".".join(str(part) for part in item["loc"] if not _is_branch(part)) or what.partition(" ")[0]
            )
            found = "" if item["type"] in ("missing", "value_error") else f" (found {_short(item['input'])})"
            said = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                said = _no_such(model, item["loc"])
            lines.append(f"  {setting}: {said}{found}")
        raise FedgrowError(f"{what} is not valid:\n" + "\n".join(lines)) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _no_such(model: type[BaseModel], place: Sequence[int | str]) -> str:
    """Say which settings there are in an unknown one's place, the likeliest first."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(iter(_models_in(field.annotation)), model)
    names = list(model.model_fields)
    close = get_close_matches(str(place[-1]), names, 1)
    meant = f", did you mean {close[0]}" if close else ""
    return f"no such setting{meant}; there are {', '.join(names)}"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings that a field may hold, within unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _with_null(raw: Any, setting: str = "") -> str | None:
    """Return the first setting whose text holds a null character, which no path may."""
    if isinstance(raw, str):
        return (setting or "it") if "\0" in raw else None
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list | tuple) else ()
    found = (_with_null(item, f"{setting}.{key}".removeprefix(".")) for key, item in items)
    return next((one for one in found if one is not None), None)


def _told(error: ValidationError) -> list[ErrorDetails]:
    """Leave out what pydantic adds to the fault itself: the union branches not meant, and the list left too short."""
    items = error.errors(include_url=False)

    def is_the_fault(item: ErrorDetails) -> bool:
        place = item["loc"]
        if item["type"] == "too_short":
            return not any(i["loc"][: len(place)] == place != i["loc"] for i in items)
        ends_in_branch = any(_is_branch(part) for part in place[-1:])
        return not ends_in_branch or item["type"] == "value_error" or not isinstance(item["input"], dict)

    return [item for item in items if is_the_fault(item)]


def _is_branch(part: int | str) -> bool:
    """Tell whether a part of an error's place names a branch of a union, not a setting."""
    return part in ("str", "Shape") or str(part).startswith(("function-", "literal["))


PLACE = r"\$\{(\w+)\}"
PATHS = ("source", "model", "tokenizer", "trained")  # settings that may be local paths


def _fill_paths(value: Any, paths: dict[str, str], name: str, setting: str = "") -> Any:
    """Put the plan's ``paths`` where settings that may be paths name them as ``${key}``."""
    if isinstance(value, dict):
        return {key: _fill_paths(item, paths, name, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_paths(item, paths, name) for item in value]
    if setting not in PATHS or not isinstance(value, str):
        return value
    for key in re.findall(PLACE, value):
        if key not in paths:
            raise FedgrowError(
                f"plan {name!r}: {value} is not among its paths ({', '.join(paths) or 'none'})"
            )
    return re.sub(PLACE, lambda found: str(paths[found[1]]), value)


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise FedgrowError(f"--set {override!r}: expected key=value, such as schedule.rounds=4")
    try:
        setting = read_yaml(value)
    except (yaml.YAMLError, RecursionError):
        raise FedgrowError(f"--set {override!r}: the value {value!r} is not valid YAML") from None
    *parents, leaf = key.split(".")
    node: Any = raw
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(leaf)] = setting
        else:
            node[leaf] = setting
    except (ValueError, IndexError, TypeError, AttributeError):
        raise FedgrowError(f"--set {override!r}: {key!r} does not lead to a setting") from None
