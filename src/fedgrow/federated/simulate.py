"""A whole run on one machine: the federation over an engine, the baselines, the summary and the report."""

import time
from pathlib import Path
from typing import Any

from fedgrow.approaches import FED_GROW
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json
from fedgrow.disk.events import emit
from fedgrow.disk.lock import Lock
from fedgrow.errors import FedgrowError
from fedgrow.federated.carry_out import carry_out
from fedgrow.federated.failure import why
from fedgrow.federated.local_grid import Tap
from fedgrow.federated.member import member_at
from fedgrow.federated.resolve import check_data, check_models, resolve
from fedgrow.federated.results import write_results
from fedgrow.runs.folder import RunFolder, forget_sources
from fedgrow.training.device import device_of
from fedgrow.training.flops import forget_counts

ENGINES = ("local", "ray")


def simulate(
    plan: Plan | None, out: Path, *, engine: str = "local", resume: bool = False, tap: Tap | None = None
) -> dict[str, Any]:
    """Run a plan to its end.

    Args:
        plan: the plan; None with ``resume``, which takes the one in the folder.
        out: the run folder: new or empty, or with ``resume`` one that a run has begun.
        engine: ``local`` (in this process) or ``ray`` (Flower's simulation engine).
        resume: go on from the last whole round.
        tap: sees the bytes of every message (local engine only).

    Returns:
        What ``summary.json`` holds.

    Raises:
        FedgrowError: the plan, the data or a model is wrong, a participant failed, or another process is at work in the
            folder; the text says why.
    """
    if engine not in ENGINES:
        raise FedgrowError(f"engine {engine!r} is unknown; choose from {', '.join(ENGINES)}")
    if plan is not None:
        device_of(plan.training)
    forget()
    run = _open_or_create(plan, out, engine, resume)
    if run.state["state"] == "finished" and (run.path / "summary.json").is_file():
        return read_json(run.path / "summary.json")
    with Lock(run.path):
        return _carry_out(run, engine, tap)


def _carry_out(run: RunFolder, engine: str, tap: Tap | None) -> dict[str, Any]:
    run.note(state="running", engine=engine)
    began = time.time()
    try:
        carry_out(run, FED_GROW.name, engine, tap)
        for name in run.plan.baselines:
            emit(run.path, "baseline", name=name, participants=len(run.plan.participants))
            carry_out(run, name)
        summary = write_results(run)
    except KeyboardInterrupt:
        run.note(state="interrupted")
        raise
    except Exception as error:
        run.note(state="failed")  # why is told to the user, not written where it might travel
        emit(run.path, "failed")
        if isinstance(error, FedgrowError):
            raise FedgrowError(f"{why(run, error, began)}\nthe run stopped in {run.path}") from None
        raise
    run.note(state="finished")
    emit(run.path, "finished")
    return summary


def forget() -> None:
    """Forget what earlier runs in this process kept in memory: another run may lie at the same path."""
    member_at.cache_clear()
    forget_sources()
    forget_counts()


def _open_or_create(plan: Plan | None, out: Path, engine: str, resume: bool) -> RunFolder:
    if resume:
        run = RunFolder.open(out)
        if (ran := run.state["engine"]) not in ENGINES:
            raise FedgrowError(
                f"--resume: {out} is of a federation between sites ({ran}); go on with it by `fedgrow server --resume` or "
                "`fedgrow join`"
            )
        if plan is not None and resolve(plan) != run.plan:
            raise FedgrowError(
                f"--resume: the plan differs from the one in {out / 'plan.yaml'}; "
                "resume without changes, or start a new run in another folder"
            )
        run.check_same()
        return run
    if plan is None:
        raise FedgrowError("a plan is needed to start a run")
    check_models(plan)
    plan = resolve(plan)
    check_data(plan)
    return RunFolder.create(out, plan, engine)
