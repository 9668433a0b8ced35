"""Fed-Grow itself: Global-LiGO travels and is averaged, everything else stays (arXiv 2406.13450)."""

from typing import TYPE_CHECKING

from fedgrow.approaches.base import Federated
from fedgrow.config.plan import Plan, StrategyPlan
from fedgrow.methods import DualLigo
from fedgrow.methods.base import Learner, Phase, Tensors
from fedgrow.methods.dual_ligo import global_operator

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant
    from fedgrow.runs.folder import RunFolder


class FedGrow(Federated):
    """Dual-LiGO."""

    name = "dual-ligo"
    title = "grown together (Fed-Grow)"
    travels = "Global-LiGO"

    def learner(self, site: "Participant") -> Learner:
        """Return both operators around the participant's small model."""
        return DualLigo(site.small_model, site.plan)

    def start(self, run: "RunFolder") -> Tensors:
        """Return the operator that follows from the plan alone."""
        return global_operator(run.plan, run.family).initial()

    def shared(self, site: "Participant") -> Tensors:
        """Return the same: it is known before there is a small model."""
        return self.start(site.run)

    def strategy(self, plan: Plan) -> StrategyPlan:
        """Return the plan's."""
        return plan.strategy

    def phases(self, plan: Plan) -> list[tuple[Phase, int]]:
        """``two-phase``: Local-LiGO first, then Global-LiGO in rounds; ``joint``: both in every round."""
        schedule = plan.schedule
        if schedule.kind == "two-phase":
            return [("local", schedule.local_steps), ("grow", schedule.rounds * schedule.steps)]
        return [("joint", schedule.rounds * schedule.steps)]
