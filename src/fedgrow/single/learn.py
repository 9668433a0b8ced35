"""LiGO for one model: a growth operator trained on local data, no federation; from a model folder to a grown one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from fedgrow.architectures import Shape, family_of, shape_of
from fedgrow.architectures.models import hub_id_of, load_config, quiet
from fedgrow.cards.learned import learned_card
from fedgrow.config.load import validate
from fedgrow.config.plan import Plan
from fedgrow.data.names import COMMON
from fedgrow.data.sources import load
from fedgrow.data.split import split as hold_out
from fedgrow.disk.atomic import write_folder, write_json
from fedgrow.errors import FedgrowError
from fedgrow.folders.companions import copy_companions
from fedgrow.folders.place import RECEIPT, check_place
from fedgrow.folders.source import head_named
from fedgrow.growth.operators.base import Operator
from fedgrow.growth.target import Target, complete
from fedgrow.learners import Learner, Ligo, Tensors, WholeModel
from fedgrow.learners.ligo import Step, make_operator
from fedgrow.seeds import DATA, INIT, TRAIN, derive
from fedgrow.tasks import TASKS, Codec, Encoded, Given, Task
from fedgrow.tasks.models import load_for
from fedgrow.training.loop import evaluate, fit
from fedgrow.training.parity import parity

NAME = "model"  # of the one participant
OPERATOR, FINETUNE = "operator", "fine-tuning"

# Told of every step: which part, its number (from 1), of how many, and its loss.
Progress = Callable[[str, int, int, float], None]


def learn(
    model: str | Path,
    *,
    data: str | Path,
    to: Target,
    out: str | Path,
    task: str | None = None,
    text: str | None = None,
    image: str | None = None,
    label: str | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    limit: int | None = None,
    test_fraction: float = 0.1,
    tokenizer: str | None = None,
    operator: str = "low-rank",
    start: str = "exact",
    rank: int | None = None,
    residual: int | None = None,
    steps: int = 100,
    batch_size: int = 32,
    max_length: int = 128,
    learning_rate: float | None = None,
    finetune_steps: int = 0,
    finetune_learning_rate: float = 1e-4,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a growth operator for one model on local data, and save the grown model.

    Args:
        model: a Hugging Face folder or hub id.
        data: a .parquet, .csv, .jsonl, .json or .npz file, a hub id, or ``bundled:digits``.
        to: the sizes to grow to, such as ``"layers=6,width=512"``, a mapping of them, or a whole shape.
        out: the folder to write, new or empty; it is there only when all is done.
        task: a name in ``fedgrow.tasks.TASKS``; default: that of the model's head.
        text: the column of texts; default: the one with a common name.
        image: the column of images, likewise.
        label: the column of classes, likewise.
        columns: further columns by role, each a setting of ``config.plan.DataPlan``: ``words`` and ``tags``, or
            ``question``, ``context``, ``answer``, ``answer_start`` and ``answer_end``; likewise.
        split: the split of a hub's data set.
        limit: use only so many rows, drawn by the seed.
        test_fraction: the part of the data that is held out for the metrics.
        tokenizer: folder or hub id of a tokenizer; default: the one beside the model.
        operator: the operator's kind, one of ``fedgrow.growth.OPERATORS``.
        start: the initialiser that the operator starts from.
        rank: rank of the learned part, for the kinds that have one.
        residual: rank of a learned term added to every grown weight of the blocks, with one of their own for biases and
            norms; default: no such term.
        steps: steps that train the operator, and the head.
        batch_size: examples a step.
        max_length: tokens; the longest text or block.
        learning_rate: AdamW's step size for the width maps, with which the rest keeps its proportion; default: by kind and
            width.
        finetune_steps: steps that train all weights of the grown model afterwards.
        finetune_learning_rate: AdamW's step size for these.
        seed: seed of everything random.
        progress: told of every step.

    Returns:
        What is known of the growth as plain values: shapes, metrics before and after, the parity receipt. It is also
        in the folder, as ``learned.json``.

    Raises:
        FedgrowError: a setting, the model or the data does not fit, or training went astray; nothing is written.
    """
    settings = {
        "data": {
            "source": str(data),
            "split": split,
            "text": text,
            "image": image,
            "label": label,
            "limit": limit,
            "test_fraction": test_fraction,
            **_roles(columns or {}),
        },
        "operator": {
            "kind": operator,
            "start": start,
            "rank": rank,
            "residual": residual,
            "learning_rate": learning_rate,
        },
        "training": {
            "batch_size": batch_size,
            "max_length": max_length,
            "model_learning_rate": finetune_learning_rate,
        },
        "seed": seed,
    }
    for name, value in (("steps", steps), ("finetune_steps", finetune_steps)):
        if value < 0:
            raise FedgrowError(f"{name}: {value}; give a whole number of steps, 0 for none")
    folder = Path(out)
    check_place(folder)
    learning = Learning(_plan(str(model), to, task, tokenizer, settings), str(model), progress)
    learning.check(steps)
    return learning.run(folder, steps, finetune_steps)


def _roles(columns: Mapping[str, str]) -> Mapping[str, str]:
    for role in columns:
        if role not in COMMON:
            raise FedgrowError(f"columns: {role!r} is no role of a column; choose from {', '.join(COMMON)}")
    return columns


def _plan(model: str, to: Target, task: str | None, tokenizer: str | None, settings: dict[str, Any]) -> Plan:
    """Return the settings as a plan with one participant, checked."""
    config = load_config(model)
    family = family_of(config)
    raw = settings | {
        "name": "learn",
        "task": task or _task_of(model, config),
        "large": complete(family, shape_of(family, config), to).model_dump(),
        "participants": [{"name": NAME, "model": model, "tokenizer": tokenizer}],
    }
    return validate(Plan, raw, "learn")


def _task_of(model: str, config: Any) -> str:
    family = family_of(config)
    head = head_named(family, config)
    if head not in TASKS:
        raise FedgrowError(
            f"model {model!r}: there is no task for its head ({head or 'none'}); "
            f"name one as task: {', '.join(h for h in family.heads if h in TASKS)}"
        )
    return head


@dataclass
class Learning:
    """One model's growth: its data, its operator, and what is measured on the way."""

    plan: Plan
    model: str
    progress: Progress | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The task."""
        return TASKS[self.plan.task]

    @cached_property
    def operator(self) -> Operator:
        """The operator from the model's shape to the large one."""
        config = load_config(self.model)
        family = family_of(config)
        return make_operator(
            self.plan.operator, family, shape_of(family, config), self.plan.large, self.plan.seed
        )

    @cached_property
    def _data(self) -> tuple[Codec, Encoded, Encoded]:
        plan = self.plan
        assert plan.data is not None
        examples = load(plan.data, self.task.form, plan.seed)
        seed = derive(plan.seed, DATA)
        rows, units = range(len(examples)), examples.units()
        train, test = hold_out(rows, examples.labels, plan.data.test_fraction, seed, units)
        parts = examples.take(train), examples.take(test)
        codec = self.task.codec(
            Given(plan, plan.participants[0], examples, load_config(self.model), parts[0])
        )
        return codec, codec.encode(parts[0]), codec.encode(parts[1])

    def check(self, steps: int) -> None:
        """Refuse what cannot be done, before any data is read."""
        family = self.operator.stage.family
        if self.plan.task not in family.heads:
            raise FedgrowError(
                f"task {self.plan.task}: {family.family} has no such head; it has {', '.join(family.heads)}"
            )
        if steps and not self.operator.initial():
            raise FedgrowError(
                f"operator {self.operator.kind} learns nothing; set steps to 0 (and finetune_steps), "
                "or choose another operator"
            )

    def run(self, out: Path, steps: int, finetune_steps: int) -> dict[str, Any]:
        """Train, measure and save."""
        codec, train, test = self._data
        small, fresh = load_for(self.model, self.task, codec, seed=derive(self.plan.seed, INIT))
        ligo = Ligo(small, [Step(self.operator, self.plan.operator.learning_rate)], self.plan.training)
        receipt = parity(ligo, small, test, codec).as_dict()
        plain = WholeModel(small, 0.0)
        self._measure("small", plain, {}, plain.private_start())
        shared, private = ligo.shared_start(), ligo.private_start()
        self._measure("start", ligo, shared, private)
        if steps:
            shared, private = self._fit(OPERATOR, ligo, steps)
            self._measure("operator", ligo, shared, private)
        model = ligo.materialise(shared, private)
        if finetune_steps:
            whole = WholeModel(model, self.plan.training.model_learning_rate)
            shared, private = self._fit(FINETUNE, whole, finetune_steps)
            self._measure("finetuned", whole, shared, private)
            model = whole.materialise(shared, private)
        data = self.plan.data
        assert data is not None
        record = {
            "model": _public(self.model),
            "base_model": hub_id_of(self.model),
            "task": self.plan.task,
            "family": self.operator.stage.family.family,
            "small": _described(small, ligo.reading.shape),
            "grown": _described(model, self.plan.large),
            "data": data.model_dump(exclude_none=True) | {"source": _public(data.source)},
            "examples": {"train": len(train), "test": len(test)},
            "operator": self.plan.operator.model_dump(exclude_none=True)
            | {"numbers": sum(t.numel() for t in ligo.shared_start().values())},
            "training": self.plan.training.model_dump(),
            "steps": {"operator": steps, "finetune": finetune_steps},
            "seed": self.plan.seed,
            "made_anew": fresh,
            "metrics": self.metrics,
            "parity": receipt,
        }
        _save(out, model, small, codec, self.plan, record)
        return record

    def _measure(self, when: str, learner: Learner, shared: Tensors, private: Tensors) -> None:
        codec, _, test = self._data
        size = self.plan.training.batch_size
        try:
            self.metrics[when] = evaluate(learner, shared, private, test, codec, self.task, size)
        except FedgrowError as error:
            raise FedgrowError(f"{when}: {error}") from None

    def _fit(self, part: str, learner: Learner, steps: int) -> tuple[Tensors, Tensors]:
        codec, train, _ = self._data

        def watch(step: int, loss: float, state: Tensors) -> bool:
            if self.progress is not None:
                self.progress(part, step, steps, loss)
            return False

        try:
            fitted = fit(
                learner,
                learner.shared_start(),
                learner.private_start(),
                train,
                codec,
                self.task,
                self.plan.training,
                phase="grow",
                steps=steps,
                seed=derive(self.plan.seed, TRAIN, part == FINETUNE),
                watch=watch,
            )
        except FedgrowError as error:
            raise FedgrowError(f"{part}: {error}") from None
        return fitted.shared, fitted.private


def _public(source: str) -> str:
    """Return a hub id as it is, and of a local path only the name: the folder may be shared."""
    return Path(source).resolve().name if Path(source).exists() else source


def _described(model: nn.Module, shape: Shape) -> dict[str, Any]:
    return {"shape": shape.model_dump(), "parameters": sum(p.numel() for p in model.parameters())}


def _save(out: Path, model: Any, small: Any, codec: Codec, plan: Plan, record: Mapping[str, Any]) -> None:
    """Write the grown model as an ordinary Hugging Face folder with its card and receipt, whole or not at all."""
    if getattr(small, "generation_config", None) is not None:
        model.generation_config = small.generation_config
    source = plan.participants[0]

    def fill(folder: Path) -> None:
        if source.tokenizer is None and Path(str(source.model)).is_dir():
            copy_companions(Path(str(source.model)), folder)  # chat template and licence, too
        with quiet():
            model.save_pretrained(folder)
            codec.save(folder)  # the tokenizer as it was trained with
        write_json(folder / RECEIPT, record["parity"])
        write_json(folder / "learned.json", record)
        (folder / "README.md").write_text(learned_card(record), "utf-8")

    write_folder(out, fill)
