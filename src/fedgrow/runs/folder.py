"""The run folder's layout, its creation, and its state."""

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fedgrow.architectures import Family, families
from fedgrow.config.load import parse_plan
from fedgrow.config.plan import DataPlan, Plan
from fedgrow.config.text import write_yaml
from fedgrow.data.examples import Examples
from fedgrow.data.partition import Partition, partition
from fedgrow.data.partition_kinds import Shards
from fedgrow.data.sources import load
from fedgrow.data.split import split
from fedgrow.disk.atomic import MEND, read_json, read_record, write_folder, write_json, write_text
from fedgrow.disk.environment import environment
from fedgrow.errors import FedgrowError
from fedgrow.runs.inputs import holding, models
from fedgrow.seeds import DATA, PARTITION, derive
from fedgrow.tasks import TASKS

State = Literal["running", "interrupted", "failed", "finished"]


class RunState(BaseModel):
    """What ``run.json`` holds: the state, the engine, digests of data and models, and whether grown models are kept."""

    model_config = ConfigDict(extra="forbid")
    state: State
    engine: str
    plan: str
    data: dict[str, str]
    inputs: list[list[str]]
    models: bool = True


class RunFolder:
    """A run's folder.

    Layout: ``plan.yaml`` (resolved), ``partition.json``, ``environment.json``, ``run.json`` (state), ``events.jsonl``,
    ``rounds/``, ``operator/``, ``participants/NAME/`` (``private/`` never leaves it), ``baselines/``, ``report.md``,
    ``summary.json``; the last two exist only once the run is finished. ``.lock``: of the process at work.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @classmethod
    def create(
        cls, path: Path, plan: Plan, engine: str, more: Callable[[Path], None] = lambda _: None
    ) -> "RunFolder":
        """Check the data, deal it out, and make the folder, whole or not at all; ``more`` writes what else belongs in it.

        Raises:
            FedgrowError: the folder is not empty or cannot be made, or the data does not fit the plan.
        """
        if path.resolve() == Path.cwd():
            raise FedgrowError(f"--out {path}: it is the working directory; name a folder in it")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FedgrowError(
                f"--out {path}: it is there already and not empty; choose another folder, or --resume to go on with that run"
            )
        if (read := holding(plan, path)) is not None:
            raise FedgrowError(
                f"--out {path}: it lies in {read}, which the plan reads; choose a folder outside"
            )
        shared = deal(plan)
        data = data_digests(plan)

        text = write_yaml(plan.model_dump(mode="json"))
        state = {
            "state": "running",
            "engine": engine,
            "plan": digest_of(text),
            "data": data,
            "inputs": models(plan),
        }

        def fill(folder: Path) -> None:
            write_text(folder / "plan.yaml", text)
            write_json(folder / "partition.json", shared.to_json())
            write_json(folder / "environment.json", environment())
            write_json(folder / "run.json", state)
            more(folder)

        try:
            path.resolve().parent.mkdir(parents=True, exist_ok=True)
            write_folder(path.resolve(), fill)
        except OSError as error:
            raise FedgrowError(f"--out {path}: the folder cannot be made ({error})") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run.

        Raises:
            FedgrowError: there is no run in the folder.
        """
        if not (path / "run.json").is_file():
            raise FedgrowError(
                f"--resume: {path} holds no run (no run.json); leave --resume out to start one"
            )
        return cls(path)

    def check_same(self) -> None:
        """Check that the plan, and data and models that it names, are still what the run began with.

        Raises:
            FedgrowError: one of them changed; the text names it.
        """
        if digest_of(self._plan_text) != self.state["plan"]:
            raise FedgrowError(
                f"--resume: {self.path / 'plan.yaml'} was changed since the run began; bring it back, or start a new run "
                "from it in another folder"
            )
        if (what := self.changed()) is not None:
            raise FedgrowError(
                f"--resume: {what} changed since the run began; bring it back, or start a new run in another folder"
            )

    def changed(self) -> str | None:
        """Return what is not as it was when the run began: whose data, or which model, tokenizer or operator."""
        before, now = self.state["data"], data_digests(self.plan)
        for name in before:
            if before[name] != now[name]:
                return f"the data of {name}"
        had, due = (Counter(map(tuple, files)) for files in (self.state["inputs"], models(self.plan)))
        names = sorted({name for name, _ in (had - due) + (due - had)})
        return f"what lies in {', '.join(names)}" if names else None

    @cached_property
    def plan(self) -> Plan:
        """The resolved plan."""
        return _parsed(self._plan_text, self.path / "plan.yaml")

    @property
    def _plan_text(self) -> str:
        path = self.path / "plan.yaml"
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FedgrowError(f"{path}: it cannot be read ({error}); {MEND}") from None

    @property
    def family(self) -> Family:
        """The family's table."""
        return families()[self.plan.family or ""]

    @cached_property
    def partition(self) -> Partition:
        """Who got which rows of the plan's data."""
        path = self.path / "partition.json"
        return _dealt(path, path.stat().st_mtime_ns if path.exists() else 0)

    def participant(self, name: str) -> Path:
        """Return a participant's folder."""
        return self.path / "participants" / name

    def approach(self, name: str) -> Path:
        """Return an approach's folder: the run's own for Fed-Grow, one beside for a baseline."""
        return self.path if name == "dual-ligo" else self.path / "baselines" / name

    @property
    def state(self) -> dict[str, Any]:
        """The run's state record."""
        return read_record(self.path / "run.json", RunState).model_dump(exclude_unset=True)

    def note(self, **values: Any) -> None:
        """Add to the state record."""
        write_json(self.path / "run.json", self.state | values)


def digest_of(text: str) -> str:
    """Return the digest of a plan's text."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=8)
def _parsed(text: str, path: Path) -> Plan:
    """Read a run's plan once a process: each of a thousand participants asks for it."""
    return parse_plan(text, str(path), path.parent)


@lru_cache(maxsize=8)
def _dealt(path: Path, _changed: int) -> Partition:
    return Partition.from_json(read_json(path))


@lru_cache(maxsize=8)
def _load(plan: str, task: str, seed: int, extra: tuple[str, ...]) -> Examples:
    return load(DataPlan.model_validate_json(plan), TASKS[task].form, seed, extra)


def forget_sources() -> None:
    """Forget loaded sources: files may have changed."""
    _load.cache_clear()


def source(plan: DataPlan, task: str, seed: int, extra: tuple[str, ...] = ()) -> Examples:
    """Load a source once a process."""
    return _load(plan.model_dump_json(), task, seed, extra)


def shared_source(plan: Plan) -> Examples:
    """Load the plan's data, with the column that it is dealt out by."""
    assert plan.data is not None
    column = plan.partition.column
    return source(plan.data, plan.task, derive(plan.seed, DATA), (column,) if column else ())


def shard_of(plan: Plan, shards: Shards, name: str) -> Examples:
    """Return a participant's examples: its own data, or its share of the plan's."""
    index = plan.names.index(name)
    own = plan.participants[index].data
    if own is not None:
        return source(own, plan.task, derive(plan.seed, DATA, index))
    return shared_source(plan).take(shards[name])


def divided(plan: Plan, shards: Shards, name: str) -> tuple[Examples, list[int], list[int]]:
    """Return a participant's examples, and which rows of them are for training and which are held out.

    Raises:
        FedgrowError: one side would be empty.
    """
    shard, index = shard_of(plan, shards, name), plan.names.index(name)
    data = plan.participants[index].data or plan.data
    assert data is not None
    rows, seed = list(range(len(shard))), derive(plan.seed, DATA, index)
    try:
        return shard, *split(rows, shard.labels, data.test_fraction, seed, shard.units())
    except FedgrowError as error:
        raise FedgrowError(f"participant {name}: {error}") from None


def data_digests(plan: Plan) -> dict[str, str]:
    """Return a digest of every source: the plan's, and participants' own."""
    digests = {} if plan.data is None else {"the plan": shared_source(plan).digest()}
    for index, entry in enumerate(plan.participants):
        if entry.data is not None:
            digests[entry.name] = source(entry.data, plan.task, derive(plan.seed, DATA, index)).digest()
    return digests


def sources(plan: Plan) -> list[Examples]:
    """Load all data of a plan: participants' own, and what is dealt out to those without."""
    own = [
        source(entry.data, plan.task, derive(plan.seed, DATA, index))
        for index, entry in enumerate(plan.participants)
        if entry.data is not None
    ]
    shared = any(entry.data is None and entry.model is not None for entry in plan.participants)
    return [*own, *([shared_source(plan)] if shared else [])]


def deal(plan: Plan) -> Partition:
    """Check all data, deal the plan's out to the participants without their own, and see that all can hold some out."""
    sources(plan)
    sharing = [p.name for p in plan.participants if p.data is None and p.model is not None]
    dealt = Partition.of({})
    if sharing:
        dealt = partition(shared_source(plan), plan.partition, sharing, derive(plan.seed, PARTITION))
    for entry in plan.participants:
        if entry.model is not None:
            divided(plan, dealt.shards, entry.name)
    return dealt
