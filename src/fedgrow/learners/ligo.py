"""LiGO (Wang et al., ICLR 2023): a large model that is a learned linear image of a small one.

``theta_large = operator_n( ... operator_1( theta_small ) )``: with one operator growth of one model by itself, with two
Fed-Grow's Dual-LiGO (``dual_ligo``). Gradients reach every operator in one backward pass through the grown weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor, nn

from fedgrow.architectures import Family, Reading, Shape, read
from fedgrow.config.plan import OperatorPlan, TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.growth import OPERATORS, Applied, Operator, Stage, grow, stack
from fedgrow.growth.initialisers.base import Exactness
from fedgrow.growth.paths import Paths, choose_paths
from fedgrow.growth.skeleton import skeleton
from fedgrow.learners.base import Group, Learner, Phase, Tensors
from fedgrow.learners.frozen import Frozen
from fedgrow.learners.whole_model import filled_model

SMALL = "small/"


def make_operator(plan: OperatorPlan, family: Family, source: Shape, target: Shape, seed: int) -> Operator:
    """Make the operator that a plan names, from one shape to another."""
    if plan.kind not in OPERATORS:
        raise FedgrowError(f"operator {plan.kind!r} is unknown; choose from {', '.join(OPERATORS)}")
    stage = Stage(family, source, target)
    return OPERATORS[plan.kind](stage, start=plan.start, rank=plan.rank, residual=plan.residual, seed=seed)


@dataclass(frozen=True)
class Step:
    """One operator of the chain.

    Attributes:
        operator: the operator.
        learning_rate: AdamW's step size for its width maps, the others' in proportion; None: the operator's own choice.
        prefix: what stands before the names of its arrays among those of the learner; "" for the one that is shared.
    """

    operator: Operator
    learning_rate: float | None = None
    prefix: str = ""


class Ligo(Learner):
    """A small model and the operators that grow it; the arrays of the last operator are the shared tensors.

    Args:
        model: the small model, with its task head.
        steps: the operators, the one nearest to the small model first.
        training: rates of the head and of the small weights, and whether these are trained.
        tokens: tokens a step, by which the cheapest way of using every grown weight is chosen (the results agree);
            default: a full batch of the plan's longest texts.
    """

    def __init__(
        self, model: nn.Module, steps: Sequence[Step], training: TrainingPlan, *, tokens: int | None = None
    ) -> None:
        self.tokens = tokens or training.batch_size * training.max_length
        self.reading: Reading = read(model)
        self.steps, self.training = tuple(steps), training
        self.small = stack(self.reading, {n: p.detach() for n, p in model.state_dict().items()})
        self.frozen = Frozen(self.small)
        config: Any = model.config
        for step in self.steps:
            config = step.operator.stage.config(config)
        self.config: Any = config

    @property
    def declared(self) -> Exactness:
        """How far growth is declared to keep the small model's function at the start (docs/exactness.md)."""
        levels: tuple[Exactness, ...] = get_args(Exactness)
        operators = [step.operator for step in self.steps]
        return max((o.initialiser.declared(o.stage) for o in operators), key=levels.index)

    @cached_property
    def module(self) -> nn.Module:
        """The large model without weights."""
        return skeleton(self.reading, self.config, self.paths)

    @cached_property
    def paths(self) -> Paths:
        """Which weights are left as factors for activations to meet."""
        stages = [Applied(step.operator, step.operator.initial()) for step in self.steps]
        return choose_paths(self.reading, self.small, stages, self.tokens, self.trained_small)

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        """Names of the small tensors that are always trained: head and pooler."""
        return tuple(s.name for s in self.reading.specs if s.part != "body")

    @property
    def trained_small(self) -> tuple[str, ...]:
        """Names of the small tensors that are trained: the head, or all of them if the plan says so."""
        return tuple(self.small) if self.training.train_small else self.head_names

    def shared_start(self) -> Tensors:
        """Return the start of the last operator."""
        return self.steps[-1].operator.initial()

    def private_start(self) -> Tensors:
        """Return the start of the operators before it, and the small tensors that are trained."""
        private = {
            step.prefix + name: array
            for step in self.steps[:-1]
            for name, array in step.operator.initial().items()
        }
        return private | {SMALL + name: self.small[name].clone() for name in self.trained_small}

    def groups(self, phase: Phase) -> list[Group]:
        """``local``: all operators but the last; ``grow``: the last; ``joint``: all. The head is trained throughout."""
        groups = [Group(tuple(SMALL + n for n in self.head_names), self.training.head_learning_rate)]
        body = tuple(SMALL + n for n in self.trained_small if n not in self.head_names)
        groups.append(Group(body, self.training.small_learning_rate))
        if phase in ("local", "joint"):
            groups += [group for step in self.steps[:-1] for group in _step_groups(step)]
        if phase in ("grow", "joint"):
            groups += _step_groups(self.steps[-1])
        return [group for group in groups if group.names]

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Grow the small tensors through all operators; weights stay factors where that is cheaper."""
        return self._grow(shared, private, factored=True)

    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        """Return the large model as an ordinary Hugging Face model."""
        with torch.no_grad():
            return filled_model(self.config, self.reading.head, self._grow(shared, private, factored=False))

    def _grow(
        self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor], *, factored: bool
    ) -> Tensors:
        stages = [Applied(step.operator, _named(private, step.prefix)) for step in self.steps[:-1]]
        stages.append(Applied(self.steps[-1].operator, dict(shared)))
        trained = _named(private, SMALL)
        # float32, or float64 for the parity receipt; an operator that learns nothing may have no arrays
        like = next(iter({**private, **shared}.values()), torch.empty(0))
        frozen = {n: t for n, t in self.frozen.beside(like, like.dtype).items() if n not in trained}
        paths = self.paths if factored else None
        return grow(self.reading, frozen | trained, stages, factored_vocabulary=factored, paths=paths)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _step_groups(step: Step) -> list[Group]:
    groups: dict[float, list[str]] = {}
    for name in step.operator.initial():
        rate = step.operator.learning_rate(name, step.learning_rate)
        groups.setdefault(rate, []).append(step.prefix + name)
    return [Group(tuple(members), rate) for rate, members in groups.items()]
