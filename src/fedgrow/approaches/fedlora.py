"""Federated LoRA on a common grown model: factors travel, and the averages of both are taken (Hu et al., ICLR 2022).

The body is the common grown model's (``common_model``): settled once as a file, the same at everyone, and frozen; that
file is not among the bytes of the rounds. Head and pooler are private and trained, and so is the table of words where
vocabularies differ. That the average of products is not the product of averages is left as it is (FLoRA, NeurIPS 2024).
"""

from fedgrow.approaches.common_model import Common
from fedgrow.approaches.from_common import FromCommon
from fedgrow.learners.lora import Lora
from fedgrow.participants.participant import Participant


class FedLora(FromCommon):
    """LoRA on the common grown model, its factors averaged."""

    name = "fedlora"
    title = "federated LoRA on the large model grown from one public (else the first) small model"
    travels = "LoRA's factors"

    def around(self, common: Common, site: Participant) -> Lora:
        """Return the participant's large model with its factors."""
        return Lora(common.own(site), site.plan.training, common.names, seed=site.plan.seed)
