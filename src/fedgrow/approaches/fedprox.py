"""FedProx (Li et al., MLSys 2020): federated averaging, held near the round's start by a proximal term."""

from fedgrow.approaches.fedavg import FedAvg
from fedgrow.config.plan import TrainingPlan

MU = 0.01  # within the range of the paper (0.001 to 1)


class FedProx(FedAvg):
    """The large model from scratch, averaged, with a proximal term."""

    name = "fedprox"
    title = f"the same with a proximal term (FedProx, mu {MU} unless training.proximal says another)"

    def training(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan's training with the term, unless the plan has one of its own."""
        return plan if plan.proximal else plan.model_copy(update={"proximal": MU})
