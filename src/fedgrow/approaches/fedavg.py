"""Federated averaging of the large model from scratch (McMahan et al., AISTATS 2017).

What travels here is the model: the large body. That is the point of comparison, and why it is a baseline. Averaged is
every tensor of the body that has the same shape at all participants; heads and poolers stay, and so do tables over the
vocabulary unless all participants have the same tokenizer.
"""

from collections.abc import Collection, Sequence
from typing import ClassVar

from fedgrow.approaches.base import Federated
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json, write_json
from fedgrow.learners import WholeModel
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.scratch import scratch
from fedgrow.learners.whole_model import body_names
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder


class FedAvg(Federated):
    """The large model from scratch, its body averaged."""

    name = "fedavg"
    title = "the large model from scratch, its body averaged"
    goes_by: ClassVar[tuple[str, ...]] = ("schedule", "training", "strategy", "compression")
    travels = "the large model's body"

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return nobody's: it begins from scratch."""
        return ()

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle which tensors travel, and what they begin with."""
        names = shared_names(sites)
        write_json(run.approach(self.name) / "shared.json", names)
        self.begin_with(run, self.begin(sites, names))

    def begin(self, sites: Sequence[Participant], names: Sequence[str]) -> Tensors:
        """Return what the shared tensors begin with."""
        return self.model(sites[0], names).shared_start()

    def model(self, site: Participant, names: Sequence[str]) -> WholeModel:
        """Return a participant's large model, of which the named tensors are averaged."""
        return scratch(site.small_model, site.plan, shared=names)

    def learner(self, site: Participant) -> Learner:
        """Return the participant's large model."""
        return self.model(site, read_json(site.run.approach(self.name) / "shared.json"))


def shared_names(sites: Sequence[Participant]) -> list[str]:
    """Return the tensors of the large body that mean the same at all participants."""
    digests = {site.codec.vocabulary_digest() for site in sites}
    same_words = len(digests) == 1 and None not in digests
    shapes = []
    for site in sites:
        model = scratch(site.small_model, site.plan, shared=())
        body = body_names(model.reading, vocabulary=same_words)
        shapes.append({name: tuple(model.start[name].shape) for name in body})
    return [name for name, shape in shapes[0].items() if all(s.get(name) == shape for s in shapes)]
