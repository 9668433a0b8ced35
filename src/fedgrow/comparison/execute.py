"""One piece of work of a study, in a process of its own, so that its peak memory is its own."""

import hashlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fedgrow.config.load import parse_plan
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json, write_folder, write_json
from fedgrow.disk.environment import environment
from fedgrow.errors import FedgrowError
from fedgrow.federated.carry_out import carry_out, prepared_sites
from fedgrow.federated.failure import why
from fedgrow.federated.memory import keep_freed_memory
from fedgrow.federated.simulate import forget
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder
from fedgrow.runs.inputs import inputs

DONE = "done.json"


def is_done(folder: Path) -> bool:
    """Tell whether a piece of work is done."""
    return (folder / DONE).is_file()


def prepare(folder: Path, plan_text: str) -> None:
    """Deal out the data of a setting and ready its small models; all its experiments begin with these."""
    if is_done(folder):
        return
    run = _run(folder, plan_text)
    write_json(folder / DONE, {"inputs": inputs(run.plan), "split": _split(prepared_sites(run))})


def experiment(folder: Path, setting: Path, approach: str, plan_text: str) -> None:
    """Carry out one approach with the small models of its setting, and keep what it came to and what it cost.

    An experiment that was stopped goes on from its last round.

    Args:
        folder: the experiment's folder.
        setting: the folder of its setting.
        approach: what to carry out.
        plan_text: the experiment's plan, in YAML.
    """
    if is_done(folder):
        return
    keep_freed_memory()  # for every approach, so that peaks and seconds compare
    resumed = (folder / "run.json").is_file()
    run = _run(folder, plan_text)
    run.note(models=False)  # figures are compared: a grown model of every experiment would fill the disk
    _same_data(run, RunFolder(setting))
    same_inputs(setting, RunFolder(setting).plan)
    for name in run.plan.names:
        small, source = (r.participant(name) / "private" / "small" for r in (run, RunFolder(setting)))
        if not small.exists():
            write_folder(small, partial(shutil.copytree, source, dirs_exist_ok=True))
    split = _split(prepared_sites(run))
    if split != record_of(setting)["split"]:
        raise FedgrowError(
            f"{run.path}: the train/test split differs from the one that its setting {setting} was prepared with (was "
            "fedgrow updated?); begin anew with another --out"
        )
    began, now = time.perf_counter(), time.time()
    try:
        outcome = carry_out(run, approach)
    except FedgrowError as error:
        raise FedgrowError(why(run, error, now)) from None
    seconds = time.perf_counter() - began
    prepared = [read_json(run.participant(n) / "private" / "small" / "prepared.json") for n in run.plan.names]
    record = {
        # of a resumed one they would be those of a part
        "seconds": None if resumed else seconds,
        "peak_memory": None if resumed else _peak_memory(),
        "readying_flops": [r["flops"] for r in prepared],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "inputs": inputs(run.plan),
        "split": split,
        "outcome": outcome.to_json(),
    }
    write_json(folder / DONE, record)
    # its figures need no small models, no private state and no whole models
    for name in ("participants", "baselines"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _run(folder: Path, plan_text: str) -> RunFolder:
    """Open a run where an earlier process left it, or begin one."""
    forget()
    plan = _plan(plan_text)
    if not (folder / "run.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # nothing whole is in it
        return RunFolder.create(folder, plan, "local")
    same_plan(folder, plan)
    run = RunFolder(folder)
    run.check_same()
    return run


def same_plan(folder: Path, plan: Plan) -> None:
    """Refuse to mix what was run with another plan.

    Raises:
        FedgrowError: the folder's plan differs.
    """
    if RunFolder(folder).plan != plan:
        raise FedgrowError(
            f"{folder} holds an experiment with another plan; choose another --out, or remove this folder"
        )


def same_inputs(folder: Path, plan: Plan) -> None:
    """Refuse to mix what was run with what would be run on other files of the same names.

    Raises:
        FedgrowError: a file that the plan names is not as it was.
    """
    due = inputs(plan)
    if (had := record_of(folder)["inputs"]) != due:
        names = sorted({one[0] for one in [*had, *due] if one not in had or one not in due})
        raise FedgrowError(
            f"{folder} was run on other files under the same names ({', '.join(names)}); "
            "choose another --out, or bring them back"
        )


def _split(sites: Sequence[Participant]) -> str:
    """Return a digest of everyone's training and held-out examples."""
    digests = [part.digest() for site in sites for part in site.raw_data]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _plan(text: str) -> Plan:
    return parse_plan(text, "experiment", Path.cwd())


def _same_data(run: RunFolder, setting: RunFolder) -> None:
    if run.state["data"] != setting.state["data"] or run.partition != setting.partition:
        raise FedgrowError(
            f"{run.path}: its data is not that of its setting {setting.path}; did a source change? "
            "Begin anew with another --out"
        )


def _peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def record_of(folder: Path) -> dict[str, Any]:
    """Return what a finished piece of work left.

    Raises:
        FedgrowError: another version of fedgrow left it, or it is damaged.
    """
    record: dict[str, Any] = read_json(folder / DONE)
    if missing := [name for name in ("inputs", "split") if name not in record]:
        raise FedgrowError(
            f"{folder / DONE} does not say {missing[0]!r}: another version of fedgrow wrote it; choose another --out"
        )
    return record
