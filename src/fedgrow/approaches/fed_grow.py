"""Fed-Grow itself: Global-LiGO travels and is averaged, everything else stays (arXiv 2406.13450)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedgrow.approaches.base import Federated, Sent
from fedgrow.config.plan import Plan, StrategyPlan
from fedgrow.methods import DualLigo
from fedgrow.methods.base import Learner, Phase, Tensors
from fedgrow.methods.dual_ligo import global_start

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
        return global_start(run.plan, run.family)

    def shared(self, site: "Participant") -> Tensors:
        """Return the same: it is known before there is a small model."""
        return self.start(site.run)

    def strategy(self, plan: Plan) -> StrategyPlan:
        """Return the plan's."""
        return plan.strategy

    def aggregate(
        self, run: "RunFolder", held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors | None:
        """Keep a frozen operator to the bit; else average as the plan says."""
        return held if run.plan.operator.frozen else None

    def phases(self, plan: Plan) -> list[tuple[Phase, int]]:
        """``two-phase``: Local-LiGO first, then Global-LiGO in rounds; ``joint``: both in every round.

        A frozen Global-LiGO leaves Local-LiGO to be trained throughout.
        """
        schedule = plan.schedule
        if plan.operator.frozen:
            local = schedule.local_steps if schedule.kind == "two-phase" else 0
            return [("local", local + schedule.rounds * schedule.steps)]
        if schedule.kind == "two-phase":
            return [("local", schedule.local_steps), ("grow", schedule.rounds * schedule.steps)]
        return [("joint", schedule.rounds * schedule.steps)]
