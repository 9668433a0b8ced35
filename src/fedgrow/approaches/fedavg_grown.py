"""Federated averaging of the large model grown from one public small model: what sharing the model would give.

It is a reference and no rival: the model itself travels, body and all (McMahan et al., AISTATS 2017, from a common
grown start; ``common_model`` says which small model that is). Every participant keeps its own head and pooler, and
where vocabularies differ its own table of words.
"""

from collections.abc import Collection, Sequence

from fedgrow.approaches.base import Federated
from fedgrow.approaches.common_model import Common, readied
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_tensors, write_tensors
from fedgrow.learners import WholeModel
from fedgrow.learners.base import Learner, Tensors
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder


class FedAvgGrown(Federated):
    """The large model grown from one public small model, its body averaged."""

    name = "fedavg-grown"
    title = "the large model grown from one public (else the first) small model, its body averaged"
    goes_by = ("schedule", "training", "strategy", "compression")
    travels = "the large model's body"
    grows = True

    def readied(self, plan: Plan) -> Collection[int]:
        """Return that of the common model."""
        return readied(plan)

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle the common model, and the tensors of it that travel."""
        folder, common = run.approach(self.name), Common.of(sites)
        common.save(folder / "common")
        state = common.model.state_dict()
        write_tensors(folder / "start.safetensors", {name: state[name] for name in common.names})

    def learner(self, site: Participant) -> Learner:
        """Return the participant's large model."""
        common = Common.load(site.run.approach(self.name) / "common", site.task.name)
        rates = site.plan.training
        return WholeModel(common.own(site), rates.model_learning_rate, common.names, rates.head_learning_rate)

    def start(self, run: RunFolder) -> Tensors:
        """Return what was settled."""
        return read_tensors(run.approach(self.name) / "start.safetensors")
