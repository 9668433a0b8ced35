"""Carry out a study: settings first, their experiments as soon as these are ready, in parallel; all of it resumable."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import Any

from fedgrow.comparison.execute import (
    experiment,
    is_done,
    prepare,
    record_of,
    same_inputs,
    same_plan,
)
from fedgrow.comparison.experiments import Experiment, Setting, experiments, settings
from fedgrow.comparison.known import known_lines
from fedgrow.config.plan import Plan
from fedgrow.config.study import Study
from fedgrow.config.text import write_yaml
from fedgrow.disk.atomic import write_text
from fedgrow.disk.lock import FILE, Lock
from fedgrow.errors import FedgrowError
from fedgrow.runs.folder import deal

Report = Callable[[str, str, str | None], None]
"""Called with ``setting`` or ``experiment``, its name, and the reason if it failed."""


STUDY = "study.yaml"


class StudyRun:
    """A study and its folder: ``settings/``, ``experiments/METHOD/``, and what the report makes of them.

    Args:
        study: the study.
        out: its folder; whatever is done there already is kept.
        known: tables of results from elsewhere, or earlier; what is in them is not run again.

    Raises:
        FedgrowError: a plan is wrong, or not the one of what is done already, or the folder is something else's; nothing
            is written then.
    """

    def __init__(self, study: Study, out: Path, known: Sequence[Path] = ()) -> None:
        self.study, self.out = study, out
        if (
            out.exists()
            and not (out / STUDY).is_file()
            and (not out.is_dir() or any(path.name != FILE for path in out.iterdir()))
        ):
            raise FedgrowError(
                f"--out {out}: it is there already, not empty, and no study's folder; choose another one"
            )
        self.settings = settings(study)
        self.experiments = {s.name: experiments(study, s) for s in self.settings}
        everything: list[Setting | Experiment] = [*self.settings, *self.all()]
        for what in everything:
            if is_done(self.folder(what)):
                same_plan(self.folder(what), what.plan)
                same_inputs(self.folder(what), what.plan)
        self.known = known_lines(known, self.all())
        for setting in self.settings:
            self._check_split(setting)

    def all(self) -> list[Experiment]:
        """Return all experiments in order."""
        return [e for found in self.experiments.values() for e in found]

    def folder(self, what: Setting | Experiment) -> Path:
        """Return where a piece of work lies."""
        return self.out / ("settings" if isinstance(what, Setting) else "experiments") / what.name

    def to_do(self) -> tuple[list[Setting], list[Experiment]]:
        """Return the experiments that are not done, and the settings that they still wait for."""
        left = [e for e in self.all() if e.name not in self.known and not is_done(self.folder(e))]
        waited = {e.setting.name for e in left}
        return [s for s in self.settings if s.name in waited and not is_done(self.folder(s))], left

    def write_study(self) -> None:
        """Write the study into its folder, which can be gone on with from then on."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_text(self.out / STUDY, write_yaml(self.study.model_dump(mode="json")))

    def check_data(self) -> None:
        """Check the data of settings that are not ready, and that it can be dealt out.

        Raises:
            FedgrowError: it is missing or unfit; the text names the setting.
        """
        for setting in self.to_do()[0]:
            try:
                deal(setting.plan)
            except FedgrowError as error:
                raise FedgrowError(f"{setting.name}: {error}") from None

    def _check_split(self, setting: Setting) -> None:
        """Refuse known results that were measured on other held-out rows than the setting's, or each other's.

        Raises:
            FedgrowError: there are such.
        """
        known = [e.name for e in self.experiments[setting.name] if e.name in self.known]
        due = record_of(self.folder(setting))["split"] if is_done(self.folder(setting)) else None
        for name in known:
            due = due or self.known[name]["split"]
            if self.known[name]["split"] != due:
                raise FedgrowError(
                    f"--known: the result of {name} is of other training and held-out rows than {setting.name} has; "
                    "it is of other code, or other versions of libraries: leave the table out"
                )

    def run(self, jobs: int, report: Report) -> dict[str, str]:
        """Do what is not done.

        Args:
            jobs: processes at a time, each on one thread.
            report: told of every piece of work that ends.

        Returns:
            The reason of each failure, by the experiment's or setting's name; what does not need it goes on.

        Raises:
            FedgrowError: another process is at work in the folder, or a worker was ended from outside.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with Lock(self.out):
            return self._run(jobs, report)

    def _run(self, jobs: int, report: Report) -> dict[str, str]:
        self.write_study()
        unprepared, left = self.to_do()
        failed: dict[str, str] = {}
        context = _context()
        told, ending = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(jobs, context, initializer=_quiet, initargs=(told,), max_tasks_per_child=1)
        try:
            waiting: dict[Future[None], Setting | Experiment] = {}
            blocked = {s.name for s in unprepared}
            for setting in unprepared:
                waiting[self._submit(pool, setting)] = setting
            for one in (e for e in left if e.setting.name not in blocked):
                waiting[self._submit(pool, one)] = one
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    what = waiting.pop(future)
                    reason = _reason(future)
                    if reason is not None:
                        failed[what.name] = reason
                    elif isinstance(what, Setting):
                        self._check_split(what)
                        for one in (e for e in left if e.setting.name == what.name):
                            waiting[self._submit(pool, one)] = one
                    report("setting" if isinstance(what, Setting) else "experiment", what.name, reason)
        except KeyboardInterrupt:
            ending.close()  # a terminal's Ctrl-C is for the workers, too; a signal to this process alone is not
            raise
        except BrokenProcessPool:
            raise FedgrowError(
                "a worker was ended from outside (too little memory?); the same command goes on, "
                "with fewer --jobs if need be"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return failed

    def _submit(self, pool: ProcessPoolExecutor, what: Setting | Experiment) -> "Future[None]":
        if isinstance(what, Setting):
            return pool.submit(prepare, self.folder(what), _text(what.plan))
        setting = self.folder(what.setting)
        return pool.submit(experiment, self.folder(what), setting, what.approach, _text(what.plan))


def _context() -> Any:
    """Return a way to begin processes that loads the libraries once, where the system has it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fedgrow.comparison.execute", "seqeval.metrics", "sklearn.metrics"])
    return context


def _text(plan: Plan) -> str:
    return write_yaml(plan.model_dump(mode="json"))


def _quiet(told: Connection) -> None:
    """Keep a worker to one thread, and let Ctrl-C, or the end of the study's process in whatever way, end it too.

    Nothing is said: what it began goes on the next time.
    """
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(told,), daemon=True).start()


def _end_with_parent(told: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel, told])
    os._exit(1)


def _reason(future: "Future[Any]") -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise error
    if error is None:
        return None
    return str(error) if isinstance(error, FedgrowError) else f"{type(error).__name__}: {error}"


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
