"""FedRolex (Alam et al., NeurIPS 2022): HeteroFL with a window that moves, so that all entries are trained in turn.

The window of every axis begins one entry further in every round, and goes on at the start where the axis ends. Heads move
whole; layers are always the first ones (the paper, which rolls over the channels of each layer, has all of them
everywhere), so layers beyond the deepest small model's are never trained. A participant keeps its head, and whatever else
is private, at the large width and trains the same window of it. It is evaluated with the window of the round. All
begins from scratch, as in the paper: a window moves over entries that no small model has.
"""

from collections.abc import Sequence
from dataclasses import replace

from fedgrow.approaches.fedavg import FedAvg
from fedgrow.approaches.heterofl import HeteroFL
from fedgrow.growth.cut import Cut
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.sub_model import WINDOW, RollingSubModel, begins_at
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder

STEP = 1  # entries a round, as in the paper


class FedRolex(HeteroFL):
    """Moving sub-models of the large one, averaged entry by entry."""

    name = "fedrolex"
    title = "the same with a window that moves every round (FedRolex)"
    may_go_along = False  # when the next round begins, its window is another one

    def begin(self, sites: Sequence[Participant], names: Sequence[str]) -> Tensors:
        """Return the large body from scratch: windows move over entries that no small model has."""
        return FedAvg.begin(self, sites, names)

    def cut(self, run: RunFolder, participant: int, server_round: int) -> Cut:
        """Return a participant's part in a round."""
        return replace(super().cut(run, participant, server_round), offset=(server_round - 1) * STEP)

    def learner(self, site: Participant) -> Learner:
        """Return the participant's part, as a model that takes another window in every round."""
        return RollingSubModel(
            site.small_model, site.plan, self.cut(site.run, site.index, 1), shared=self.names(site.run)
        )

    def down(self, run: RunFolder, held: Tensors, participant: int, server_round: int) -> Tensors:
        """Cut the participant's part of the round out of the large body, and say where it begins."""
        offset = self.cut(run, participant, server_round).offset
        return super().down(run, held, participant, server_round) | {WINDOW: begins_at(offset)}
