"""FedProto (Tan et al., AAAI 2022): models stay, and mean features of the classes travel.

Every participant trains its own small model, whose features are pulled towards the mean feature that all have of the
class. Features are what the classifier reads, before the head's dropout, as in the authors' code; where widths differ they
are averaged down to the smallest among the participants. The server averages class by class over those who have the class,
by their numbers of its examples, so it learns which classes a participant has and how many of each.
"""

from collections.abc import Mapping, Sequence

from fedgrow.approaches.base import Federated, Sent
from fedgrow.architectures import Family, Shape, read
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json, write_json
from fedgrow.errors import FedgrowError
from fedgrow.learners.base import Learner, Tensors
from fedgrow.learners.features import TASKS, classifier_of
from fedgrow.learners.prototypes import Prototypical, average, nothing_yet
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder

TABLE = "prototypes.json"


class FedProto(Federated):
    """Small models, held near common prototypes of the classes."""

    name = "fedproto"
    title = "small models fine-tuned locally, held near common class prototypes (FedProto)"
    travels = (
        "a table of mean features and numbers of examples, class by class (it shows who has which classes),"
    )
    tasks = TASKS

    def check(self, plan: Plan, family: Family, shapes: Sequence[Shape]) -> None:
        """Refuse a plan without one list of classes."""
        common_labels(plan)

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle the size of the table: classes by the smallest width of features."""
        for site in sites:
            class_numbers(site)
        widths = [classifier_of(site.small_model, read(site.small_model)).width for site in sites]
        table = {"classes": len(common_labels(run.plan)), "dimension": min(widths)}
        write_json(run.approach(self.name) / TABLE, table)

    def learner(self, site: Participant) -> Learner:
        """Return the participant's small model, with the pull."""
        table = read_json(site.run.approach(self.name) / TABLE)
        return Prototypical(
            site.small_model,
            site.small_rate,
            site.train_data,
            site.codec,
            site.plan.training.batch_size,
            numbers=class_numbers(site),
            pull=site.plan.training.prototype_weight,
            head_rate=site.plan.training.head_learning_rate,
            **table,
        )

    def start(self, run: RunFolder) -> Tensors:
        """Return a table without prototypes."""
        return nothing_yet(**read_json(run.approach(self.name) / TABLE))

    def aggregate(
        self, run: RunFolder, held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors:
        """Average class by class; a class that no one sent keeps its prototype."""
        return average([arrays for _, (arrays, _) in sorted(sent.items())], held)


def common_labels(plan: Plan) -> tuple[str, ...]:
    """Return the closed list of classes that all participants have agreed on.

    Raises:
        FedgrowError: there is none.
    """
    lists = {entry.name: data.labels for entry in plan.participants if (data := entry.data or plan.data)}
    for name, labels in lists.items():
        if labels is None:
            raise FedgrowError(
                f"baselines: fedproto compares classes by their number in a common list, and participant {name} "
                "has no closed list of labels; name data.labels"
            )
    first, *others = lists.values()
    assert first is not None
    if any(labels != first for labels in others):
        raise FedgrowError(
            "baselines: fedproto compares classes by their number in a common list, and the participants' data.labels "
            "differ; name the same labels in the same order, or leave fedproto out"
        )
    return first


def class_numbers(site: Participant) -> list[int]:
    """Return for every class of a participant's model its number in the common list.

    Raises:
        FedgrowError: the model names a class that is not in the list.
    """
    labels = common_labels(site.plan)
    strange = [label for label in site.codec.labels if label not in labels]
    if strange:
        raise FedgrowError(
            f"participant {site.name}: its model's label {strange[0]!r} is not among data.labels {list(labels)[:12]}; "
            "name the model's labels there, or leave fedproto out"
        )
    return [labels.index(label) for label in site.codec.labels]
