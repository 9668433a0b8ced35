"""Fed-Grow itself: Global-LiGO travels and is averaged, everything else stays (arXiv 2406.13450)."""

from collections.abc import Callable, Mapping

from fedgrow.approaches.base import Federated, Sent
from fedgrow.approaches.schedule import Parts, in_phases, in_turn
from fedgrow.config.plan import Plan, TrainingPlan
from fedgrow.config.study import SETTING
from fedgrow.learners import DualLigo
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.dual_ligo import global_start
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder


class FedGrow(Federated):
    """Dual-LiGO."""

    name = "dual-ligo"
    title = "grown together (Fed-Grow)"
    travels = "Global-LiGO"
    goes_by = SETTING
    grows = True

    def learner(self, site: Participant) -> Learner:
        """Return both operators around the participant's small model."""
        return DualLigo(site.small_model, site.plan)

    def start(self, run: RunFolder) -> Tensors:
        """Return the operator that follows from the plan alone."""
        return global_start(run.plan, run.family)

    def shared(self, run: RunFolder, learner: Callable[[], Learner]) -> Tensors:
        """Return the same: it is known before there is a small model."""
        return self.start(run)

    def aggregate(
        self, run: RunFolder, held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors | None:
        """Keep a frozen operator to the bit; else average as the plan says."""
        return held if run.plan.operator.frozen else None

    def training(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan's, with its pull."""
        return plan

    def rounds(self, plan: Plan) -> list[Parts]:
        """Return the plan's schedule."""
        return in_phases(plan)

    def trains(self, plan: Plan, name: str, server_round: int) -> bool:
        """Whether it is the array's turn."""
        return in_turn(plan, name, server_round)
