"""Training by oneself, in the rounds that a federation has, so that curves can be laid over each other."""

from collections.abc import Callable, Sequence

from fedgrow.approaches.base import Ended, Metrics
from fedgrow.approaches.schedule import Parts
from fedgrow.architectures.models import count
from fedgrow.config.plan import Plan, TrainingPlan
from fedgrow.learners.base import Learner, Tensors
from fedgrow.participants.participant import Participant

Trains = Callable[[Plan, str, int], bool]
"""Whether a shared tensor, by name, is trained in a round."""


def everything(plan: Plan, name: str, server_round: int) -> bool:
    """Train all shared tensors in every round."""
    return True


def _trained_in(site: Participant, shared: Tensors, trains: Trains, number: int) -> Callable[[str], bool]:
    """Return whether a tensor is trained in a round; private ones always are, and before the first round all."""
    return lambda name: name not in shared or not number or trains(site.plan, name, number)


def train_in_rounds(
    site: Participant,
    learner: Learner,
    rounds: Sequence[Parts],
    *,
    trains: Trains = everything,
    finetune: int = 0,
) -> Ended:
    """Train and evaluate a learner on one participant's data; a fresh optimizer every round, as in a federation.

    Args:
        site: the participant.
        learner: what it trains.
        rounds: what is done before the first round, and in every round.
        trains: which of the shared tensors that a phase trains are trained in a round.
        finetune: steps on all weights of the model that comes out, after the last round.
    """
    shared, private = learner.shared_start(), learner.private_start()
    curve: list[Metrics] = []
    for number, parts in enumerate(rounds):
        for part, (phase, steps) in enumerate(parts):
            fitted = site.fit(
                learner, shared, private, phase, steps, number, part=part,
                trains=_trained_in(site, shared, trains, number),
            )  # fmt: skip
            shared, private = fitted.shared, fitted.private
        if number:
            curve.append(site.evaluate(learner, shared, private))
    flops = flops_by_round(site, learner, rounds, trains=trains)
    model, numbers = learner.materialise(shared, private), learner.trained()
    if finetune:
        tuned = site.finetune(model, finetune)
        curve.append(tuned.metrics)
        flops.append(flops[-1] + tuned.flops)
        numbers += count(model)
    return Ended(curve[-1], curve, flops, numbers, count(model))


def flops_by_round(
    site: Participant,
    learner: Learner,
    rounds: Sequence[Parts],
    training: TrainingPlan | None = None,
    *,
    trains: Trains = everything,
    sends: bool = False,
) -> list[int]:
    """Return the arithmetic of a participant's training up to the end of every round.

    Args:
        site: the participant.
        learner: what it trains.
        rounds: what it does before the first round, and in every round.
        training: how; default: as the plan says.
        trains: which of the shared tensors that a phase trains are trained in a round.
        sends: whether what it makes to be sent is counted, too.
    """
    shared = learner.shared_start()
    sending = site.sending_flops(learner) if sends else 0
    total, found = 0, []
    for number, parts in enumerate(rounds):
        for part, (phase, steps) in enumerate(parts):
            own = _trained_in(site, shared, trains, number)
            total += site.training_flops(
                learner, phase, steps, number, training=training, trains=own, part=part
            )
        total += sending if number and parts else 0
        found.append(total)
    return found[1:]
