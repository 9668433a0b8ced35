"""HeteroFL (Diao, Ding and Tarokh, ICLR 2021): every participant trains the part of the large model that it can carry.

The server holds a large body. A participant's part has its small model's own shape: the first layers, the first heads, and
of every other axis the first entries. The server averages every entry over those who hold it, by their numbers of
examples; what nobody holds stays as it was. Heads, poolers, and tables over vocabularies that differ stay with their
participants, at the width of the part.

The paper cuts widths, of one depth, from scratch. Here parts differ in depth, too, and where small models are public the
body holds the largest of them (``common_model`` says which that is), and every part begins with its own small model's
pooler and tables: where all small models have one width and one origin, this is plain averaging of them, by layer.

A participant is evaluated with its part: HeteroFL gives the large model to none but those who can carry it whole. Two
pieces of the paper are left out: its scaler, for the part is to be a plain model of its family, with norms of its own; and
the masking of absent classes, for no head is shared.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import nn

from fedgrow.approaches.base import Sent
from fedgrow.approaches.common_model import as_it_came, source_of
from fedgrow.approaches.fedavg import FedAvg
from fedgrow.architectures import Family, Shape, read
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json, write_json
from fedgrow.growth.cut import Cut, Piece, cut_shape, put_together
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.sub_model import sub_config, sub_model
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder

SHAPES = "shapes.json"


class HeteroFL(FedAvg):
    """Sub-models of the large one, averaged entry by entry."""

    name = "heterofl"
    title = "parts of the large model, each as large as its participant's small one (HeteroFL)"
    goes_by: ClassVar[tuple[str, ...]] = ("schedule", "training")
    travels = "each participant's part of the large model's body"

    def check(self, plan: Plan, family: Family, shapes: Sequence[Shape]) -> None:
        """Refuse shapes that cannot be cut out of the large one."""
        for shape in shapes:
            Cut(family, plan.large, cut_shape(family, shape, plan.large))

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle which tensors travel, what they begin with, and the shape of everyone's part."""
        cuts = []
        for site in sites:
            cuts.append(Cut(run.family, run.plan.large, self.shape(site)))
            sub_config(site.small_model.config, cuts[-1])
        super().settle(run, sites)
        write_json(run.approach(self.name) / SHAPES, [cut.sub.model_dump() for cut in cuts])

    def begin(self, sites: Sequence[Participant], names: Sequence[str]) -> Tensors:
        """Return the large body from scratch, and within it the largest public small one."""
        held, source = super().begin(sites, names), source_of(sites)
        small = public_part(source, self.shape(source))
        if small is None:
            return held
        body = {name: tensor for name, tensor in small.state_dict().items() if name in held}
        cut = Cut(source.run.family, source.plan.large, self.shape(source))
        return put_together(held, [Piece(cut, body, 1)], source.task.name)

    def shape(self, site: Participant) -> Shape:
        """Return the shape of a participant's part."""
        return cut_shape(site.run.family, read(site.small_model).shape, site.plan.large)

    def cut(self, run: RunFolder, participant: int, server_round: int) -> Cut:
        """Return a participant's part in a round: always the same."""
        sub = Shape(**read_json(run.approach(self.name) / SHAPES)[participant])
        return Cut(run.family, run.plan.large, sub)

    def learner(self, site: Participant) -> Learner:
        """Return the participant's part, as a model."""
        cut, names = self.cut(site.run, site.index, 1), self.names(site.run)
        return sub_model(site.small_model, site.plan, cut, shared=names, begin=public_part(site, cut.sub))

    def names(self, run: RunFolder) -> list[str]:
        """Return the names of the tensors that travel."""
        names: list[str] = read_json(run.approach(self.name) / "shared.json")
        return names

    def down(self, run: RunFolder, held: Tensors, participant: int, server_round: int) -> Tensors:
        """Cut the participant's part out of the large body."""
        return self.cut(run, participant, server_round).take(held, run.plan.task)

    def aggregate(
        self, run: RunFolder, held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors:
        """Average every entry over those who hold it."""
        pieces = [
            Piece(self.cut(run, participant, server_round), arrays, examples)
            for participant, (arrays, examples) in sorted(sent.items())
        ]
        return put_together(held, pieces, run.plan.task)


def public_part(site: Participant, part: Shape) -> nn.Module | None:
    """Return a participant's small model as it came, if it is public and has the shape of the participant's part."""
    if not isinstance(site.entry.model, str):
        return None
    small = as_it_came(site)
    return small if read(small).shape == part else None
