"""FedProto's arithmetic: class means, their average, and the pull."""

from dataclasses import dataclass

import torch
from torch.nn.functional import mse_loss

from fedgrow.learners.prototypes import (
    COUNTS,
    PROTOTYPES,
    Prototypical,
    average,
    class_means,
    nothing_yet,
    pooled,
)
from fedgrow.tasks import TASKS
from fedgrow.tasks.base import Encoded
from tests.learners.learners import batch, small


@dataclass
class Batches:
    """A codec whose only batches are rows of one."""

    pixels: torch.Tensor
    targets: torch.Tensor

    def batch(self, encoded, indices):
        chosen = torch.tensor(list(indices))
        return {"pixel_values": self.pixels[chosen]}, self.targets[chosen]


def learner(dimension: int = 8, pull: float = 1.0) -> Prototypical:
    pixels, targets = batch("vit")["pixel_values"], torch.tensor([0, 2, 2])
    data = Encoded(list(pixels), targets)
    return Prototypical(
        small("vit"), 0.1, data, Batches(pixels, targets), 2,
        numbers=[3, 1, 0], classes=4, dimension=dimension, pull=pull,
    )  # fmt: skip


def features(made: Prototypical) -> torch.Tensor:
    seen = []
    model = small("vit").eval()
    model.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(**batch("vit"))
    return pooled(seen[0], made.dimension)


def test_neighbouring_entries_are_averaged_to_the_common_dimension():
    assert pooled(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2).tolist() == [[2.0, 6.0]]
    whole = torch.randn(3, 5)
    assert torch.equal(pooled(whole, 5), whole)


def test_prototypes_are_class_means_and_absent_classes_have_none():
    table = class_means(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]]), torch.tensor([2, 0, 2]), 3)
    assert table[PROTOTYPES].tolist() == [[3.0, 4.0], [0.0, 0.0], [3.0, 1.0]]
    assert table[COUNTS].tolist() == [1.0, 0.0, 2.0]


def test_a_class_is_averaged_over_those_who_have_it():
    one = {PROTOTYPES: torch.tensor([[2.0], [0.0], [0.0]]), COUNTS: torch.tensor([1.0, 0.0, 0.0])}
    two = {PROTOTYPES: torch.tensor([[6.0], [5.0], [0.0]]), COUNTS: torch.tensor([3.0, 2.0, 0.0])}
    table = average([one, two], nothing_yet(3, 1))
    assert table[PROTOTYPES].tolist() == [[5.0], [5.0], [0.0]]
    assert table[COUNTS].tolist() == [4.0, 2.0, 0.0]


def test_a_class_of_those_who_are_away_keeps_its_prototype():
    held = {PROTOTYPES: torch.tensor([[7.0], [8.0], [9.0]]), COUNTS: torch.tensor([1.0, 1.0, 4.0])}
    one = {PROTOTYPES: torch.tensor([[2.0], [0.0], [0.0]]), COUNTS: torch.tensor([1.0, 0.0, 0.0])}
    two = {PROTOTYPES: torch.tensor([[6.0], [5.0], [0.0]]), COUNTS: torch.tensor([3.0, 2.0, 0.0])}
    table = average([one, two], held)
    assert table[PROTOTYPES].tolist() == [[5.0], [5.0], [9.0]]
    assert table[COUNTS].tolist() == [4.0, 2.0, 4.0]


def test_what_is_sent_are_the_means_of_the_common_classes():
    made = learner(dimension=4)
    sent = made.sent(made.shared_start(), made.private_start())
    found = features(made)
    assert sent[COUNTS].tolist() == [2.0, 0.0, 0.0, 1.0]  # class 2 is number 0 in the list, class 0 number 3
    assert torch.allclose(sent[PROTOTYPES][3], found[0], atol=1e-6)
    assert torch.allclose(sent[PROTOTYPES][0], found[1:].mean(0), atol=1e-6)
    assert {n: t.shape for n, t in sent.items()} == {n: t.shape for n, t in made.shared_start().items()}


def loss(made: Prototypical, table: dict[str, torch.Tensor]) -> torch.Tensor:
    state = made.private_start() | table
    weights = made.weights(table, made.private_start())
    return made.loss(TASKS["image-classification"], weights, state, batch("vit"), made.data.targets)


def test_the_loss_has_the_pull_of_classes_with_a_prototype_only():
    made, without = learner(), learner(pull=0.0)
    nothing = made.shared_start()
    plain = loss(without, nothing)
    assert torch.equal(loss(made, nothing), plain)
    table = {PROTOTYPES: torch.ones(4, 8), COUNTS: torch.tensor([5.0, 0.0, 0.0, 0.0])}
    found = features(made)
    aim = torch.stack([found[0], torch.ones(8), torch.ones(8)])  # the first example's class has none
    assert torch.allclose(loss(made, table) - plain, mse_loss(found, aim), atol=1e-5)


def test_the_pull_is_of_features_before_dropout():
    ids, targets = batch("bert")["input_ids"], torch.tensor([0, 1, 1])
    made = Prototypical(
        small("bert"), 0.1, Encoded(list(ids), targets), Batches(ids, targets), 2,
        numbers=[0, 1], classes=2, dimension=8, pull=1.0,
    )  # fmt: skip
    seen = []
    made.module.dropout.p = 0.5
    made.module.dropout.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    start, task = made.private_start(), TASKS["sequence-classification"]
    table = {PROTOTYPES: torch.ones(2, 8), COUNTS: torch.ones(2)}

    def loss_with(pull: float) -> torch.Tensor:
        made.pull = pull
        torch.manual_seed(0)
        return made.loss(task, made.weights(table, start), start | table, batch("bert"), targets)

    assert torch.allclose(loss_with(1.0) - loss_with(0.0), mse_loss(seen[-1], torch.ones(3, 8)), atol=1e-5)


def test_only_the_model_is_trained():
    made = learner()
    [group] = made.groups("joint")
    assert set(group.names) == set(made.private_start())
    assert set(made.shared_start()) == {PROTOTYPES, COUNTS}
