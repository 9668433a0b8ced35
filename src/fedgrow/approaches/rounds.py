"""Training by oneself, in the rounds that a federation has, so that curves can be laid over each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from fedgrow.approaches.base import Ended, Metrics
from fedgrow.approaches.schedule import Parts
from fedgrow.config.plan import TrainingPlan
from fedgrow.methods.base import Learner, Phase, Tensors

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant


def train_in_rounds(
    site: "Participant", learner: Learner, rounds: Sequence[Parts], *, finetune: int = 0
) -> Ended:
    """Train and evaluate a learner on one participant's data; a fresh optimizer every round, as in a federation.

    Args:
        site: the participant.
        learner: what it trains.
        rounds: what is done before the first round, and in every round.
        finetune: steps on all weights of the model that comes out, after the last round.
    """
    shared, private = learner.shared_start(), learner.private_start()
    curve: list[Metrics] = []
    for number, parts in enumerate(rounds):
        for phase, steps in parts:
            fitted = site.fit(learner, shared, private, phase, steps, number)
            shared, private = fitted.shared, fitted.private
        if number:
            curve.append(site.evaluate(learner, shared, private))
    flops, model = flops_by_round(site, learner, rounds), learner.materialise(shared, private)
    if finetune:
        tuned = site.finetune(model, finetune)
        curve.append(tuned.metrics)
        flops.append(flops[-1] + tuned.flops)
    return Ended(curve[-1], curve, flops, trained(learner), count(model))


def count(model: nn.Module) -> int:
    """Count a model's parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters())


def flops_by_round(
    site: "Participant",
    learner: Learner,
    rounds: Sequence[Parts],
    training: TrainingPlan | None = None,
) -> list[int]:
    """Return the arithmetic of a participant's training up to the end of every round, one step of a phase counted."""
    phases = dict.fromkeys(phase for parts in rounds for phase, _ in parts)
    cost = {phase: site.step_flops(learner, phase, training) for phase in phases}
    total, found = 0, []
    for parts in rounds:
        total += sum(cost[phase] * steps for phase, steps in parts)
        found.append(total)
    return found[1:]


def trained(learner: Learner) -> int:
    """Count the numbers that a learner trains in any phase."""
    start: Tensors = {**learner.shared_start(), **learner.private_start()}
    phases: tuple[Phase, ...] = ("local", "grow", "joint")
    names = {name for phase in phases for group in learner.groups(phase) for name in group.names}
    return sum(start[name].numel() for name in names)
