"""Steps by round, from the plan alone."""

import random
from collections.abc import Sequence
from fnmatch import fnmatchcase

from fedgrow.config.plan import Plan
from fedgrow.learners.base import Phase
from fedgrow.seeds import SAMPLE, derive

Parts = list[tuple[Phase, int]]
"""Phases in order, with their steps."""


def total_steps(plan: Plan) -> int:
    """Return how many steps a participant that takes part in every round has in all, whatever the approach."""
    return _besides(plan) + plan.schedule.rounds * plan.schedule.steps


def own_steps(plan: Plan, participant: int) -> int:
    """Return how many steps a participant has, given by number, with the rounds that it takes part in."""
    rounds = sum(participant in taking_part(plan, r) for r in range(1, plan.schedule.rounds + 1))
    return _besides(plan) + rounds * plan.schedule.steps


def spread_steps(plan: Plan, unprepared: int = 0) -> int:
    """Return how many steps are spread over rounds that take the place of all phases, so that the budget is the same.

    Where a round has only a share of the participants, they have the steps outside of rounds for those who are away, too.

    Args:
        plan: the plan.
        unprepared: the steps of a preparation that an approach does not begin with.
    """
    besides = _besides(plan) + unprepared
    return round(besides / plan.schedule.participation) + plan.schedule.rounds * plan.schedule.steps


def preparing_steps(plan: Plan) -> int:
    """Return how many steps a participant's small model is prepared with; the most, where they differ."""
    return max((entry.prepare or plan.prepare).steps for entry in plan.participants)


def _besides(plan: Plan) -> int:
    """Return the steps that everyone has outside of rounds."""
    schedule = plan.schedule
    return (schedule.local_steps if schedule.kind == "two-phase" else 0) + schedule.finetune_steps


def taking_part(plan: Plan, server_round: int) -> list[int]:
    """Return who trains in a round, by number: a share of all, at least one, drawn by the plan's seed."""
    people = len(plan.participants)
    few = share_of(people, plan.schedule.participation)
    drawn = random.Random(derive(plan.seed, SAMPLE, server_round)).sample(range(people), few)
    return sorted(drawn)


def share_of(people: int, participation: float) -> int:
    """Return how many train in a round: that share of all, at least one."""
    return max(1, round(participation * people))


def of_participant(rounds: Sequence[Parts], plan: Plan, participant: int) -> list[Parts]:
    """Return a participant's own rounds: nothing is done in those that it takes no part in."""
    return [
        parts if number == 0 or participant in taking_part(plan, number) else []
        for number, parts in enumerate(rounds)
    ]


def in_turn(plan: Plan, name: str, server_round: int) -> bool:
    """Whether an array of Global-LiGO is trained in a round: the plan may have turns (alternating factors, say)."""
    turns = plan.operator.turns
    patterns = turns[(server_round - 1) % len(turns)] if turns else ("*",)
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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
