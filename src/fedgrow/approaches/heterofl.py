"""HeteroFL (Diao, Ding and Tarokh, ICLR 2021): every participant trains the part of the large model that it can carry.

The server holds the large body from scratch. A participant's part has its small model's own shape: the first layers, the
first heads, and of every other axis the first entries. The server averages every entry over those who hold it, by their
numbers of examples; what nobody holds stays as it was. Heads, poolers, and tables over vocabularies that differ stay with
their participants, at the width of the part.

A participant is evaluated with its part: HeteroFL gives the large model to none but those who can carry it whole. Two
pieces of the paper are left out: its scaler, for the part is to be a plain model of its family, with norms of its own; and
the masking of absent classes, for no head is shared.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from fedgrow.approaches.base import Sent
from fedgrow.approaches.fedavg import FedAvg
from fedgrow.architectures import Family, Shape, read
from fedgrow.config.plan import Plan
from fedgrow.growth.cut import Cut, Piece, cut_shape, put_together
from fedgrow.methods.base import Learner, Tensors
from fedgrow.methods.sub_model import sub_config, sub_model
from fedgrow.runs.atomic import read_json, write_json

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant
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

    def settle(self, run: "RunFolder", sites: Sequence["Participant"]) -> None:
        """Settle which tensors travel, what they begin with, and the shape of everyone's part."""
        cuts = []
        for site in sites:
            cuts.append(Cut(run.family, run.plan.large, self.shape(site)))
            sub_config(site.small_model.config, cuts[-1])
        super().settle(run, sites)
        write_json(run.approach(self.name) / SHAPES, [cut.sub.model_dump() for cut in cuts])

    def shape(self, site: "Participant") -> Shape:
        """Return the shape of a participant's part."""
        return cut_shape(site.run.family, read(site.small_model).shape, site.plan.large)

    def cut(self, run: "RunFolder", participant: int, server_round: int) -> Cut:
        """Return a participant's part in a round: always the same."""
        sub = Shape(**read_json(run.approach(self.name) / SHAPES)[participant])
        return Cut(run.family, run.plan.large, sub)

    def learner(self, site: "Participant") -> Learner:
        """Return the participant's part, as a model."""
        return sub_model(
            site.small_model, site.plan, self.cut(site.run, site.index, 1), shared=self.names(site.run)
        )

    def names(self, run: "RunFolder") -> list[str]:
        """Return the names of the tensors that travel."""
        names: list[str] = read_json(run.approach(self.name) / "shared.json")
        return names

    def down(self, run: "RunFolder", held: Tensors, participant: int, server_round: int) -> Tensors:
        """Cut the participant's part out of the large body."""
        return self.cut(run, participant, server_round).take(held, run.plan.task)

    def aggregate(
        self, run: "RunFolder", held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors:
        """Average every entry over those who hold it."""
        pieces = [
            Piece(self.cut(run, participant, server_round), arrays, examples)
            for participant, (arrays, examples) in sorted(sent.items())
        ]
        return put_together(held, pieces, run.plan.task)
