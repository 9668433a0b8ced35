"""Training by oneself, in the rounds that a federation has, so that curves can be laid over each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from fedgrow.approaches.base import Ended, Metrics
from fedgrow.config.plan import Plan, TrainingPlan
from fedgrow.methods.base import Learner, Phase, Tensors

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant


def steps_by_round(phases: Sequence[tuple[Phase, int]], rounds: int) -> list[list[tuple[Phase, int]]]:
    """Return the phases and steps of round 0 (what comes before the first round) and of every round.

    The last phase is spread over the rounds; what cannot be spread evenly comes in the first of them.
    """
    *before, (phase, steps) = phases
    each, more = divmod(steps, rounds)
    return [before, [(phase, each + more)], *([[(phase, each)]] * (rounds - 1))]


def train_in_rounds(
    site: "Participant", learner: Learner, phases: Sequence[tuple[Phase, int]] | None = None
) -> Ended:
    """Train and evaluate a learner on one participant's data; a fresh optimizer every round, as in a federation.

    Args:
        site: the participant.
        learner: what it trains.
        phases: phases with their steps; default: all of the plan's steps jointly.
    """
    plan = site.plan
    shared, private = learner.shared_start(), learner.private_start()
    curve: list[Metrics] = []
    rounds = steps_by_round(phases or [("joint", total_steps(plan))], plan.schedule.rounds)
    for number, parts in enumerate(rounds):
        for phase, steps in parts:
            fitted = site.fit(learner, shared, private, phase, steps, number)
            shared, private = fitted.shared, fitted.private
        if number:
            curve.append(site.evaluate(learner, shared, private))
    return Ended(
        metrics=curve[-1],
        curve=curve,
        flops=flops_by_round(site, learner, rounds),
        trained=trained(learner),
        model=count(learner.materialise(shared, private)),
    )


def count(model: nn.Module) -> int:
    """Count a model's parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters())


def total_steps(plan: Plan) -> int:
    """Return how many steps a participant has in all, whatever the approach."""
    local = plan.schedule.local_steps if plan.schedule.kind == "two-phase" else 0
    return local + plan.schedule.rounds * plan.schedule.steps


def flops_by_round(
    site: "Participant",
    learner: Learner,
    rounds: Sequence[Sequence[tuple[Phase, int]]],
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
