"""Approaches that begin with the common grown model (``common_model``): settled once as a file, the same at everyone."""

from abc import abstractmethod
from collections.abc import Collection, Sequence

from fedgrow.approaches.base import Federated
from fedgrow.approaches.common_model import Common, prepared
from fedgrow.config.plan import Plan
from fedgrow.learners.base import Learner
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder


class FromCommon(Federated):
    """Participants train around the common grown model; that file is not among the bytes of the rounds."""

    goes_by = ("schedule", "training", "strategy", "compression")
    grows = True

    @abstractmethod
    def around(self, common: Common, site: Participant) -> Learner:
        """Return what a participant trains around the common model."""

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return that of the common model."""
        return prepared(plan)

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle the common model, and what the shared tensors begin with."""
        common = Common.of(sites)
        common.save(run.approach(self.name) / "common")
        self.begin_with(run, self.around(common, sites[0]).shared_start())

    def learner(self, site: Participant) -> Learner:
        """Return what the participant trains around the settled model."""
        return self.around(Common.load(site.run.approach(self.name) / "common", site.task.name), site)
