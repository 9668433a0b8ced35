"""The plan: everything that a consortium agrees on before a run. Frozen, validated, and written back resolved."""

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from fedgrow.architectures import Shape, families
from fedgrow.config.home import at_home
from fedgrow.seeds import OPERATOR, derive

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # of plans and participants: they become folders
MOST_RANK = 2**16  # beyond any width: what is larger is a slip, and would only fill the memory
Task = Literal[
    "sequence-classification",
    "token-classification",
    "question-answering",
    "image-classification",
    "causal-language-modelling",
    "masked-language-modelling",
]


class Section(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataPlan(Section):
    """Where examples come from, and which columns hold what.

    ``source`` is ``bundled:digits``, a local .parquet, .csv, .jsonl, .json or .npz file, or a hub id.
    """

    source: str = Field(
        description="bundled:digits, a local .parquet, .csv, .jsonl, .json or .npz, a folder of datasets, or a hub id"
    )
    split: str = Field("train", description="of a hub's data set")
    text: str | None = Field(
        None, description="column of texts; default here and below: the one with a common name"
    )
    image: str | None = Field(None, description="column of images")
    label: str | None = Field(None, description="column of classes")
    words: str | None = Field(None, description="lists of words")
    tags: str | None = Field(None, description="lists of tags, one for each word")
    question: str | None = Field(None, description="questions, or lists of them: several about one context")
    context: str | None = Field(None, description="texts that hold the answers")
    answer: str | None = Field(None, description="texts, or SQuAD's {text: [...], answer_start: [...]}")
    answer_start: str | None = Field(None, description="first character of the answer, counted from 0")
    answer_end: str | None = Field(None, description="the character after the answer's last")
    labels: tuple[str, ...] | None = Field(
        None, description="closed list of labels or tags; others are an error"
    )
    limit: PositiveInt | None = Field(None, description="use only so many rows, drawn by the seed")
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.25, description="part of each participant's examples that is held out for evaluation"
    )

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if labels is not None:
            if not labels:
                raise ValueError("it lists none; name the labels, or leave it out")
            [(label, times)] = Counter(labels).most_common(1)
            if times > 1:
                raise ValueError(f"{label!r} is listed twice")
        return labels


class PartitionPlan(Section):
    """How one source is dealt out to the participants that bring no data of their own.

    ``dirichlet`` goes by label, or by the values of ``column`` where it is named.
    """

    kind: Literal["iid", "dirichlet", "column"] = Field(
        "iid",
        description="at random; by Dirichlet shares of labels; or by a column's values (natural clients)",
    )
    alpha: PositiveFloat = Field(0.5, description="Dirichlet's concentration: the smaller, the more skewed")
    column: str | None = Field(None, description="column that the data is dealt out by")
    min_examples: PositiveInt = Field(8, description="of a participant, at least; else it is an error")
    max_examples: PositiveInt | None = Field(
        None, description="of a participant, at most; the rest is unused"
    )

    @model_validator(mode="after")
    def _column_named(self) -> Self:
        if self.kind == "column" and self.column is None:
            raise ValueError("column: name the column that kind 'column' goes by")
        if self.kind == "iid" and self.column is not None:
            raise ValueError(
                "column: kind 'iid' goes by none; leave it out, or choose 'column' or 'dirichlet'"
            )
        return self


class OperatorPlan(Section):
    """Kind and start of a growth operator."""

    kind: str = Field("low-rank", description="one of `fedgrow families`")
    rank: Annotated[int, Field(gt=0, le=MOST_RANK)] | None = Field(None, description="default: by kind")
    start: str = Field("exact", description="the initialiser")
    residual: Annotated[int, Field(gt=0, le=MOST_RANK)] | None = Field(
        None, description="rank of a learned term added to every grown weight; vectors have one, too"
    )
    learning_rate: PositiveFloat | None = Field(
        None, description="of the width maps, the rest in proportion; default: by kind and width"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="of what is drawn in Global-LiGO; default: follows from the run's"
    )
    trained: str | None = Field(
        None, description="folder of a trained operator to begin with; Global-LiGO only"
    )
    turns: tuple[tuple[str, ...], ...] = Field(
        (),
        description="of Global-LiGO: patterns of the arrays that round 1, 2, ... trains, then again from the first",
    )
    frozen: bool = Field(False, description="keep it as it is: only Local-LiGO and the head are trained")


class SchedulePlan(Section):
    """Who is trained when.

    ``two-phase`` trains Local-LiGO first (``local_steps``), then only Global-LiGO in rounds; ``joint`` trains both in
    every round; ``alternate`` first Local-LiGO, then Global-LiGO in every round. The head is trained throughout.
    """

    kind: Literal["joint", "two-phase", "alternate"] = Field(
        "joint", description="both operators in every round; Local-LiGO first; or by turns within each round"
    )
    rounds: PositiveInt = Field(8, description="communication rounds")
    steps: PositiveInt = Field(20, description="local steps of a participant in a round")
    local_steps: NonNegativeInt = Field(20, description="of Local-LiGO before the first round (two-phase)")
    participation: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="share of the participants that train in a round, drawn anew for each; all are evaluated",
    )
    evaluation: Literal["apart", "along"] = Field(
        "apart",
        description="apart: a phase of its own after every round; along: of a round's operator when the next begins, "
        "as rounded for the way there (compression.down)",
    )
    finetune_steps: NonNegativeInt = Field(
        0, description="steps on all weights of each grown model, at its participant, after the last round"
    )


class TrainingPlan(Section):
    """Local training at a participant."""

    batch_size: PositiveInt = Field(32, description="examples a step")
    max_length: Annotated[int, Field(ge=2, description="tokens; the longest text or block")] = 64
    head_learning_rate: PositiveFloat = Field(
        1e-3,
        description="for heads and poolers, but not in preparing, nor in fine-tuning after the last round",
    )
    small_learning_rate: PositiveFloat = Field(1e-4, description="of the small weights, with train_small")
    model_learning_rate: PositiveFloat = Field(
        1e-3, description="for whole models: baselines that train all weights"
    )
    small_model_learning_rate: PositiveFloat | None = Field(
        None,
        description="for the small model fine-tuned locally, and FedProto's; default: that of preparing it",
    )
    lora_learning_rate: PositiveFloat = Field(1e-3, description="for LoRA's factors: baseline fedlora")
    lora_rank: PositiveInt = Field(8, description="of LoRA's terms: baseline fedlora")
    lora_alpha: PositiveFloat = Field(16.0, description="LoRA's terms are multiplied by it over their rank")
    finetune_learning_rate: PositiveFloat | None = Field(
        None, description="for fine-tuning after the last round; default: that of preparing the small model"
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="share of a round's steps over which rates rise"
    )
    decay: Literal["none", "linear"] = Field("none", description="of the rates after the warm-up")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's")
    clip_norm: PositiveFloat = Field(1.0, description="norm that gradients are clipped to")
    device: Literal["cpu", "cuda", "mps", "auto"] = Field("cpu", description="auto: a GPU where there is one")
    autocast: Literal["none", "bfloat16"] = Field("none", description="type of the model's forward pass")
    proximal: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="pull of what is shared to the round's start; the mu of baseline fedprox, which takes 0.01 for 0",
    )
    prototype_weight: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="of the pull of features towards their classes' prototypes: baseline fedproto (its lambda)",
    )
    train_small: bool = Field(False, description="train the small weights too (they are never sent)")
    not_finite: Literal["stop", "skip"] = Field(
        "stop", description="what to do with a step whose loss is not finite"
    )


class PreparePlan(Section):
    """How a participant trains its small model on its own shard before growth."""

    steps: NonNegativeInt = Field(
        200, description="on each small model, on its participant's data, before growth"
    )
    learning_rate: PositiveFloat | None = Field(
        None, description="default: 1e-3 for a model made in the run, 2e-4 for one that comes trained"
    )

    def rate(self, *, trained: bool) -> float:
        """Return the step size for a small model that comes trained, or is made in the run."""
        return self.learning_rate or (2e-4 if trained else 1e-3)


class StrategyPlan(Section):
    """The server's aggregation: one of Flower's strategies, with its options."""

    name: str = Field("FedAvg", description="one of Flower's: FedAvg, FedAvgM, FedAdam, FedMedian, ...")
    options: dict[str, float | int] = Field({}, description="its own, such as server_momentum")


class CompressionPlan(Section):
    """How what travels is made smaller.

    What a participant sends is the change of a round; what that loses of it is kept and goes into the next. ``down`` is for
    what it is given to train on: the operator's change since its start. The server goes on from the operator as it is.
    """

    kind: Literal["none", "float16", "bfloat16", "int8", "int4", "ternary", "top-k"] = Field(
        "none", description="of what participants send, with error feedback"
    )
    fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the entries that travel, for top-k; default: 0.1"
    )
    down: Literal["none", "float16", "bfloat16", "int8", "int4"] = Field(
        "none", description="for what participants are given to train on"
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.fraction is not None and self.kind != "top-k":
            raise ValueError(f"fraction: kind {self.kind!r} has none; leave it out, or choose top-k")
        if self.down != "none" and self.kind == "none":
            raise ValueError(f"down: {self.down} needs a kind other than 'none', so that changes come back")
        return self


class FaultsPlan(Section):
    """What a federation between sites does when one does not answer, or answers what it may not.

    ``strict`` waits until every site has answered, so that the operator is the same whatever happened; ``quorum``
    closes a phase at its deadline with those that have answered, if they are enough. Who was away is asked again.
    """

    mode: Literal["strict", "quorum"] = Field(
        "strict", description="wait for every site, or close a phase with enough of them"
    )
    deadline: PositiveFloat = Field(
        3600.0,
        description="seconds after which a phase is closed (quorum)",
    )
    quorum: Annotated[float, Field(gt=0, le=1)] = Field(0.6, description="share of the sites that is enough")
    patience: PositiveFloat = Field(
        7 * 24 * 3600.0,
        description="seconds without an answer, or with a site not invited, until the server gives up",
    )
    largest_change: PositiveFloat | None = Field(
        None,
        description="norm of one change of the operator that is still taken, in simulations, too; larger ones are refused",
    )

    def enough(self, asked: int) -> int:
        """Return with how many answers a phase may close that so many sites were asked in."""
        return max(1, math.ceil(self.quorum * asked)) if self.mode == "quorum" else asked


class ParticipantPlan(Section):
    """One participant: its name, its small model (a folder, a hub id, or a shape to pre-train), and its data, if its own.

    Without a model it is a site of its own, which says itself what it brings (``fedgrow join``).
    """

    name: Annotated[str, Field(pattern=NAME)] = Field(description="it becomes a folder")
    model: str | Shape | None = Field(None, description="folder, hub id, or a shape to pre-train in the run")
    data: DataPlan | None = Field(None, description="its own; default: a share of the plan's")
    prepare: PreparePlan | None = Field(None, description="default: the plan's")
    tokenizer: str | None = Field(
        None, description="folder or hub id; default: beside the model, else learned here"
    )

    @property
    def tokenizer_folder(self) -> str | None:
        """The folder or hub id that its tokenizer is loaded from; None where it learns one."""
        return self.tokenizer or (self.model if isinstance(self.model, str) else None)

    @property
    def brought(self) -> list[str]:
        """The settings by which a plan says what the participant brings; a site says that itself."""
        return [name for name in ("model", "data", "prepare", "tokenizer") if getattr(self, name) is not None]


class VocabularyPlan(Section):
    """The tokenizer that a participant without one learns from its own texts."""

    size: PositiveInt = Field(1000, description="tokens")


class Plan(Section):
    """A run: what grows into what, who takes part, and how."""

    name: Annotated[str, Field(pattern=NAME)] = Field(
        "run", description="of the run, and of what sites keep of it"
    )
    seed: Annotated[int, Field(ge=0, lt=2**62)] = Field(0, description="of everything that is drawn")
    task: Task = Field(description="what is learned; the head of that name")
    family: str | None = Field(None, description="needed when every small model is pre-trained in the run")
    large: Shape = Field(description="shape that everyone ends with")
    intermediate: Shape | Literal["auto"] = Field(
        "auto",
        description="shape that Local-LiGO grows to; auto (the default): the narrowest that all small models reach exactly",
    )
    operator: OperatorPlan = Field(OperatorPlan(), description="Global-LiGO")
    local_operator: OperatorPlan = Field(OperatorPlan(), description="Local-LiGO")
    schedule: SchedulePlan = Field(SchedulePlan(), description="rounds and steps")
    training: TrainingPlan = Field(TrainingPlan(), description="how every model and operator is trained")
    prepare: PreparePlan = Field(
        PreparePlan(), description="local training of the small models before growth"
    )
    strategy: StrategyPlan = Field(StrategyPlan(), description="how the server aggregates")
    compression: CompressionPlan = Field(CompressionPlan(), description="of what travels")
    faults: FaultsPlan = Field(
        FaultsPlan(), description="between sites: what happens when one does not answer"
    )
    data: DataPlan | None = Field(None, description="one source that is dealt out to the participants")
    partition: PartitionPlan = Field(PartitionPlan(), description="how it is dealt out")
    vocabulary: VocabularyPlan = Field(
        VocabularyPlan(), description="tokenizer that a participant without one learns"
    )
    model_settings: dict[str, bool | int | float | str] = Field(
        {}, description="configuration values of small models made in the run, such as patch_size"
    )
    participants: Annotated[tuple[ParticipantPlan, ...], Field(min_length=1, description="who takes part")]
    metrics: tuple[str, ...] = Field(
        (), description="metrics of evaluation that may leave; default: loss and the task's"
    )
    baselines: tuple[str, ...] = Field((), description="what is run beside, see compare.md")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        [(name, times)] = Counter(p.name.lower() for p in self.participants).most_common(1)
        if times > 1:
            raise ValueError(f"participants: the name {name!r} is used twice (letter case is ignored)")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics: one is named twice; name each once")
        if self.schedule.kind == "alternate" and self.schedule.steps < 2 and not self.operator.frozen:
            raise ValueError(
                "schedule: alternate trains two things in every round; set schedule.steps to 2 or more"
            )
        here = [p for p in self.participants if p.model is not None]
        if self.data is None and any(p.data is None for p in here):
            without = next(p.name for p in here if p.data is None)
            raise ValueError(
                f"data: participant {without!r} has no data of its own and the plan names none to share out"
            )
        if self.family is not None and self.family not in families():
            raise ValueError(f"family: {self.family!r} is unknown; choose from {', '.join(families())}")
        if self.family is None and not any(isinstance(p.model, str) for p in self.participants):
            raise ValueError("family: name it, for no small model is given that would say it")
        return self

    @property
    def names(self) -> list[str]:
        """Names of all participants, in the plan's order."""
        return [p.name for p in self.participants]

    @property
    def may_miss_rounds(self) -> bool:
        """Whether a participant may have no part in a round: it is not drawn, or too late."""
        return self.faults.mode == "quorum" or self.schedule.participation < 1

    @property
    def operator_seed(self) -> int:
        """The seed of what is drawn in Global-LiGO: its own, or one that follows from the run's."""
        return derive(self.seed, OPERATOR, 0) if self.operator.seed is None else self.operator.seed

    def resolve_path(self, folder: Path) -> "Plan":
        """Return the plan with local paths made absolute against the folder that the plan was read from."""

        def path(value: str) -> str:
            local = folder / at_home(value)
            return str(local.resolve()) if os.path.exists(local) else value  # noqa: PTH110 (not: too long a name)

        return self.with_paths(path)

    def with_paths(self, change: Callable[[str], str]) -> "Plan":
        """Return the plan with every setting that may be a local path changed: models, tokenizers, data, operators."""

        def data(plan: DataPlan | None) -> DataPlan | None:
            return plan and plan.model_copy(update={"source": change(plan.source)})

        people = tuple(
            p.model_copy(
                update={
                    "model": change(p.model) if isinstance(p.model, str) else p.model,
                    "data": data(p.data),
                    "tokenizer": p.tokenizer and change(p.tokenizer),
                }
            )
            for p in self.participants
        )
        trained = self.operator.trained and change(self.operator.trained)
        operator = self.operator.model_copy(update={"trained": trained})
        return self.model_copy(update={"data": data(self.data), "participants": people, "operator": operator})
