"""The same growth with no averaging: every participant trains its own copy of both operators."""

from typing import TYPE_CHECKING

from fedgrow.approaches.base import Alone, Ended
from fedgrow.approaches.rounds import train_in_rounds
from fedgrow.approaches.schedule import in_phases

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant


class Independent(Alone):
    """Growth alone."""

    name = "independent"
    title = "the same operators, grown alone (no averaging)"

    def run(self, site: "Participant") -> Ended:
        """Train both operators, in the phases of the run."""
        return train_in_rounds(
            site, site.learner, in_phases(site.plan), finetune=site.plan.schedule.finetune_steps
        )
