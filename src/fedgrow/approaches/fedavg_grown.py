"""Federated averaging of the large model grown from one public small model: what sharing the model would give.

It is a reference and no rival: the model itself travels, body and all (McMahan et al., AISTATS 2017, from a common
grown start; ``common_model`` says which small model that is). Every participant keeps its own head and pooler, and
where vocabularies differ its own table of words.
"""

from fedgrow.approaches.common_model import Common
from fedgrow.approaches.from_common import FromCommon
from fedgrow.learners import WholeModel
from fedgrow.participants.participant import Participant


class FedAvgGrown(FromCommon):
    """The large model grown from one public small model, its body averaged."""

    name = "fedavg-grown"
    title = "the large model grown from one public (else the first) small model, its body averaged"
    travels = "the large model's body"

    def around(self, common: Common, site: Participant) -> WholeModel:
        """Return the participant's large model."""
        rates = site.plan.training
        return WholeModel(common.own(site), rates.model_learning_rate, common.names, rates.head_learning_rate)
