"""The small model trained on, for as many steps as its owner would spend on growth: the cheapest thing one could do."""

from itertools import accumulate
from typing import TYPE_CHECKING

from fedgrow.approaches.base import Alone, Ended, Metrics
from fedgrow.approaches.rounds import count, flops_by_round, trained
from fedgrow.approaches.schedule import jointly, own_steps
from fedgrow.methods import Tensors, WholeModel

if TYPE_CHECKING:
    from fedgrow.federated.participant import Participant


class Small(Alone):
    """The small model, fine-tuned on."""

    name = "small"
    title = "the small model trained on, as many steps"

    def run(self, site: "Participant") -> Ended:
        """Train all weights of the small model, with one optimizer throughout: a slight favour to it."""
        learner = WholeModel(site.small_model, site.small_rate)
        steps = own_steps(site.plan, site.index)
        rounds = jointly(steps, site.plan.schedule.rounds)
        ends = set(accumulate(sum(n for _, n in parts) for parts in rounds[1:]))
        curve: list[Metrics] = []

        def watch(step: int, _: float, state: Tensors) -> bool:
            if step in ends:
                curve.append(site.evaluate(learner, {}, state))
            return False

        fitted = site.fit(learner, {}, learner.private_start(), "joint", steps, 0, watch=watch)
        metrics = site.evaluate(learner, {}, fitted.private)
        cost = flops_by_round(site, learner, rounds)
        return Ended(metrics, curve, cost, trained(learner), count(site.small_model))
