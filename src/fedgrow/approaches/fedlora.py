"""Federated LoRA on a common grown model: factors travel, and the averages of both are taken (Hu et al., ICLR 2022).

The body is the common grown model's (``common_model``): settled once as a file, the same at everyone, and frozen; that
file is not among the bytes of the rounds. Head and pooler are private and trained, and so is the table of words where
vocabularies differ. That the average of products is not the product of averages is left as it is (FLoRA, NeurIPS 2024).
"""

from collections.abc import Collection, Sequence

from fedgrow.approaches.base import Federated
from fedgrow.approaches.common_model import Common, readied
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_tensors, write_tensors
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.lora import Lora
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder


class FedLora(Federated):
    """LoRA on the common grown model, its factors averaged."""

    name = "fedlora"
    title = "federated LoRA on the large model grown from one public (else the first) small model"
    goes_by = ("schedule", "training", "strategy", "compression")
    travels = "LoRA's factors"
    grows = True

    def readied(self, plan: Plan) -> Collection[int]:
        """Return that of the common model."""
        return readied(plan)

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle the common model and the factors at the start."""
        folder, common = run.approach(self.name), Common.of(sites)
        common.save(folder / "common")
        write_tensors(folder / "start.safetensors", self._lora(sites[0], common).shared_start())

    def learner(self, site: Participant) -> Learner:
        """Return the participant's large model with its factors."""
        return self._lora(site, Common.load(site.run.approach(self.name) / "common", site.task.name))

    def start(self, run: RunFolder) -> Tensors:
        """Return what was settled."""
        return read_tensors(run.approach(self.name) / "start.safetensors")

    def _lora(self, site: Participant, common: Common) -> Lora:
        return Lora(common.own(site), site.plan.training, common.names, seed=site.plan.seed)
