"""Results from elsewhere, or earlier: lines of other tables, taken for experiments of the same plan on the same files."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from fedgrow.approaches import APPROACHES
from fedgrow.comparison.experiments import Experiment, bare
from fedgrow.config.plan import Plan
from fedgrow.config.study import SETTING
from fedgrow.disk.environment import environment
from fedgrow.errors import FedgrowError
from fedgrow.runs.inputs import inputs

NAMED = ("method", "task", "partition", "seed")


def known_lines(tables: Iterable[Path], experiments: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """Return the lines that tables hold of these experiments, by the experiments' names; others are passed over.

    Raises:
        FedgrowError: a table cannot be read, or holds a result of one of these experiments on other files, or under a plan
            that differs in what its approach goes by, or, where that grows models, of other code.
    """
    wanted = {(e.method, e.setting.task, e.setting.partition, e.setting.seed): e for e in experiments}
    found = {}
    for path in tables:
        for line in _read(path).to_dict("records"):
            experiment = wanted.get(tuple(line[name] for name in NAMED))
            if experiment is not None:
                _check(experiment, str(line["plan"]), path)
                _check_code(experiment, str(line["versions"]), path)
                _check_inputs(experiment, str(line["inputs"]), path)
                found[experiment.name] = {str(column): value for column, value in line.items()}
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise FedgrowError(f"--known {path}: no table of results ({error})") from None
    if missing := sorted({*NAMED, "plan", "inputs", "split", "versions"} - set(frame.columns)):
        raise FedgrowError(f"--known {path}: it lacks {', '.join(missing)}; name a study's results.parquet")
    return frame


def _check(experiment: Experiment, plan: str, path: Path) -> None:
    due = bare(experiment.plan)
    approach = APPROACHES[experiment.approach]
    unused = set(SETTING) - {*approach.goes_by, *approach.also_read}
    try:
        had = Plan.model_validate_json(plan)
        differ = [n for n in Plan.model_fields if n not in unused and getattr(had, n) != getattr(due, n)]
    except ValidationError:
        differ = ["its form is older"]
    if differ:
        raise FedgrowError(
            f"--known {path}: its result of {experiment.name} is of another plan ({', '.join(sorted(differ))}); "
            "leave the table out, or set the study to what was run"
        )


def _check_code(experiment: Experiment, versions: str, path: Path) -> None:
    """Refuse what was grown by other code: the same plan may mean another operator there."""
    had, due = json.loads(versions).get("fedgrow"), environment()["packages"]["fedgrow"]
    if APPROACHES[experiment.approach].grows and had != due:
        raise FedgrowError(
            f"--known {path}: its result of {experiment.name} is of fedgrow {had}, this is {due}, which may grow models "
            "otherwise; leave the table out, or run the study with that code"
        )


def _check_inputs(experiment: Experiment, listed: str, path: Path) -> None:
    due = inputs(experiment.plan)
    if (had := json.loads(listed)) != due:
        differ = sorted({name for name, _ in [one for one in due if one not in had] or had})
        raise FedgrowError(
            f"--known {path}: its result of {experiment.name} is of other files under the same names "
            f"({', '.join(differ)}); leave the table out, or name the files that were used"
        )
