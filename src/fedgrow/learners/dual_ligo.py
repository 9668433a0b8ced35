"""Dual-LiGO (Fed-Grow, arXiv 2406.13450): theta_large = Global-LiGO(Local-LiGO(theta_small)).

Global-LiGO is shared; Local-LiGO, the head and the small weights are private.
"""

from torch import nn

from fedgrow.architectures import Family, Shape, read
from fedgrow.config.plan import Plan
from fedgrow.growth import Operator
from fedgrow.learners.base import Group, Phase, Tensors
from fedgrow.learners.ligo import Ligo, Step, make_operator
from fedgrow.runs.operator import trained_arrays
from fedgrow.seeds import OPERATOR, derive

LOCAL = "local/"


def global_operator(plan: Plan, family: Family) -> Operator:
    """Return the consortium's Global-LiGO: it follows from the agreed plan alone, at the server and at every site."""
    assert isinstance(plan.intermediate, Shape), "the plan must be resolved"
    return make_operator(plan.operator, family, plan.intermediate, plan.large, plan.operator_seed)


def global_start(plan: Plan, family: Family) -> Tensors:
    """Return what Global-LiGO begins with: the trained operator that the plan names, or its own start."""
    arrays = global_operator(plan, family).initial()
    return arrays if plan.operator.trained is None else trained_arrays(plan.operator.trained, arrays)


class DualLigo(Ligo):
    """A participant's part of Fed-Grow.

    Args:
        model: the participant's small model, with its task head.
        plan: the resolved plan.
    """

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        reading, target = read(model), plan.intermediate
        assert isinstance(target, Shape), "the plan must be resolved"
        seed = derive(plan.seed, OPERATOR, 1)
        self.local = make_operator(plan.local_operator, reading.family, reading.shape, target, seed)
        self.global_ = global_operator(plan, reading.family)
        steps = (
            Step(self.local, plan.local_operator.learning_rate, LOCAL),
            Step(self.global_, plan.operator.learning_rate),
        )
        super().__init__(model, steps, plan.training)
        self.plan = plan

    def shared_start(self) -> Tensors:
        """Return the start of Global-LiGO."""
        return global_start(self.plan, self.reading.family)

    def groups(self, phase: Phase) -> list[Group]:
        """Leave a frozen Global-LiGO out, whatever the phase."""
        return super().groups("local" if self.plan.operator.frozen else phase)
