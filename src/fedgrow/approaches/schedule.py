"""Steps by round, from the plan alone."""

import random

from fedgrow.config.plan import Plan
from fedgrow.methods.base import Phase
from fedgrow.training.seeds import SAMPLE, derive

Parts = list[tuple[Phase, int]]
"""Phases in order, with their steps."""


def total_steps(plan: Plan) -> int:
    """Return how many steps a participant has in all, whatever the approach."""
    schedule = plan.schedule
    local = schedule.local_steps if schedule.kind == "two-phase" else 0
    return local + schedule.rounds * schedule.steps + schedule.finetune_steps


def taking_part(plan: Plan, server_round: int) -> list[int]:
    """Return who trains in a round, by number: a share of all, at least one, drawn by the plan's seed."""
    people = len(plan.participants)
    few = max(1, round(plan.schedule.participation * people))
    drawn = random.Random(derive(plan.seed, SAMPLE, server_round)).sample(range(people), few)
    return sorted(drawn)


def jointly(steps: int, rounds: int) -> list[Parts]:
    """Spread steps of the phase ``joint`` over the rounds; what cannot be spread evenly comes in the first of them.

    Returns:
        What is done before the first round (nothing), and in every round.
    """
    each, more = divmod(steps, rounds)
    first: Parts = [("joint", each + more)]
    later: Parts = [("joint", each)]
    return [[], first, *([later] * (rounds - 1))]


def in_phases(plan: Plan) -> list[Parts]:
    """Return the schedule of growth: what is done before the first round, and in every round.

    ``two-phase``: Local-LiGO first, then Global-LiGO in rounds; ``joint``: both in every round; ``alternate``: in every
    round first Local-LiGO, then Global-LiGO, half of the steps each (FedAlt, Pillutla et al., ICML 2022). A frozen
    Global-LiGO leaves Local-LiGO to be trained throughout.
    """
    schedule = plan.schedule
    before: Parts = [("local", schedule.local_steps)] if schedule.kind == "two-phase" else []
    parts: dict[str, Parts] = {
        "joint": [("joint", schedule.steps)],
        "two-phase": [("grow", schedule.steps)],
        "alternate": [("local", schedule.steps - schedule.steps // 2), ("grow", schedule.steps // 2)],
    }
    each: Parts = [("local", schedule.steps)] if plan.operator.frozen else parts[schedule.kind]
    return [before, *([each] * schedule.rounds)]
