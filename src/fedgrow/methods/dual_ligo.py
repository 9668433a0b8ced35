"""Dual-LiGO (Fed-Grow, arXiv 2406.13450): theta_large = Global-LiGO(Local-LiGO(theta_small)).

Global-LiGO is shared; Local-LiGO, the head and the small weights are private. Gradients reach all of them in one
backward pass through the grown weights.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import Family, Reading, Shape, read
from fedgrow.architectures.models import large_config
from fedgrow.config.plan import OperatorPlan, Plan
from fedgrow.growth import OPERATORS, Applied, Operator, Stage, grow, stack
from fedgrow.growth.skeleton import skeleton
from fedgrow.methods.base import Group, Learner, Phase, Tensors
from fedgrow.methods.whole_model import filled_model

LOCAL, SMALL = "local/", "small/"


def make_operator(plan: OperatorPlan, family: Family, source: Shape, target: Shape, seed: int) -> Operator:
    """Make the operator that a plan names, from one shape to another."""
    return OPERATORS[plan.kind](Stage(family, source, target), start=plan.start, rank=plan.rank, seed=seed)


def global_operator(plan: Plan, family: Family) -> Operator:
    """Return the consortium's Global-LiGO: it follows from the agreed plan alone, at the server and at every site."""
    assert isinstance(plan.intermediate, Shape), "the plan must be resolved"
    return make_operator(plan.operator, family, plan.intermediate, plan.large, plan.seed)


class DualLigo(Learner):
    """A participant's part of Fed-Grow.

    Args:
        model: the participant's small model, with its task head.
        plan: the resolved plan.
    """

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.reading: Reading = read(model)
        self.plan = plan
        family, target = self.reading.family, plan.intermediate
        assert isinstance(target, Shape), "the plan must be resolved"
        self.local = make_operator(plan.local_operator, family, self.reading.shape, target, plan.seed + 1)
        self.global_ = global_operator(plan, family)
        self.small = stack(self.reading, {n: p.detach() for n, p in model.state_dict().items()})
        eps = self.local.stage.eps_factor * self.global_.stage.eps_factor
        self.config: Any = large_config(model.config, family, plan.large, eps)

    @property
    def declared(self) -> str:
        """How far growth is declared to keep the small model's function at the start (docs/exactness.md)."""
        operators = (self.local, self.global_)
        if any(o.start != "exact" for o in operators):
            return "not preserved"
        if not all(o.stage.width_is_exact for o in operators):
            return "approximate"
        deeper = any(o.stage.source.layers < o.stage.target.layers for o in operators)
        return "exact up to the norms' epsilon" if deeper and self.reading.family.norm == "post" else "exact"

    @cached_property
    def module(self) -> nn.Module:
        """The large model without weights."""
        return skeleton(self.reading, self.config)

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        """Names of the small tensors that are always trained: head and pooler."""
        return tuple(s.name for s in self.reading.specs if s.part != "body")

    @property
    def trained_small(self) -> tuple[str, ...]:
        """Names of the small tensors that are trained: the head, or all of them if the plan says so."""
        return tuple(self.small) if self.plan.training.train_small else self.head_names

    def shared_start(self) -> Tensors:
        """Return Global-LiGO's start."""
        return self.global_.initial()

    def private_start(self) -> Tensors:
        """Return Local-LiGO's start and the small tensors that are trained."""
        local = {LOCAL + name: array for name, array in self.local.initial().items()}
        return local | {SMALL + name: self.small[name].clone() for name in self.trained_small}

    def groups(self, phase: Phase) -> list[Group]:
        """Two-phase: Local-LiGO, then Global-LiGO; joint: both. The head is trained throughout."""
        training = self.plan.training
        groups = [Group(tuple(SMALL + n for n in self.head_names), training.head_learning_rate)]
        body = tuple(SMALL + n for n in self.trained_small if n not in self.head_names)
        groups.append(Group(body, training.small_learning_rate))
        if phase in ("local", "joint"):
            groups += _operator_groups(self.local, self.plan.local_operator, LOCAL)
        if phase in ("grow", "joint"):
            groups += _operator_groups(self.global_, self.plan.operator, "")
        return [group for group in groups if group.names]

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Grow the small tensors through both operators; tables over the vocabulary stay factored."""
        return self._grow(shared, private, factored=True)

    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        """Return the large model as an ordinary Hugging Face model."""
        with torch.no_grad():
            return filled_model(self.config, self.reading.head, self._grow(shared, private, factored=False))

    def _grow(
        self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor], *, factored: bool
    ) -> Tensors:
        stages = [
            Applied(
                self.local, {n.removeprefix(LOCAL): p for n, p in private.items() if n.startswith(LOCAL)}
            ),
            Applied(self.global_, dict(shared)),
        ]
        trained = {n.removeprefix(SMALL): p for n, p in private.items() if n.startswith(SMALL)}
        dtype = next(iter(shared.values())).dtype  # float32; float64 for the parity receipt
        frozen = {n: t.to(dtype) for n, t in self.small.items() if n not in trained}
        return grow(self.reading, frozen | trained, stages, factored_vocabulary=factored)


def _operator_groups(operator: Operator, plan: OperatorPlan, prefix: str) -> list[Group]:
    names = list(operator.initial())
    groups: dict[float, list[str]] = {}
    for name in names:
        rate = plan.learning_rate or operator.learning_rate(name)
        groups.setdefault(rate, []).append(prefix + name)
    return [Group(tuple(members), rate) for rate, members in groups.items()]
