"""The same growth with no averaging: every participant trains its own copy of both operators."""

from fedgrow.approaches.base import Alone, Ended
from fedgrow.approaches.rounds import train_in_rounds
from fedgrow.approaches.schedule import in_phases, in_turn, of_participant
from fedgrow.learners import DualLigo
from fedgrow.participants.participant import Participant


class Independent(Alone):
    """Growth alone."""

    name = "independent"
    title = "the plan's operators, grown alone (no averaging)"
    goes_by = ("operator", "local_operator", "intermediate", "schedule", "training")
    grows = True

    def run(self, site: Participant) -> Ended:
        """Train both operators, in the rounds and phases that the participant has in the federation."""
        rounds = of_participant(in_phases(site.plan), site.plan, site.index)
        return train_in_rounds(
            site,
            DualLigo(site.small_model, site.plan),
            rounds,
            trains=in_turn,
            finetune=site.plan.schedule.finetune_steps,
        )
