"""The small model fine-tuned locally, for as many steps as growth would take: the cheapest thing one could do."""

from itertools import accumulate

from fedgrow.approaches.base import Alone, Ended, Metrics
from fedgrow.approaches.schedule import jointly, own_steps
from fedgrow.architectures.models import count
from fedgrow.learners import Tensors, WholeModel
from fedgrow.participants.participant import Participant


class Small(Alone):
    """The small model, fine-tuned on."""

    name = "small"
    title = "the small model fine-tuned locally, as many steps"

    def run(self, site: Participant) -> Ended:
        """Train all weights of the small model, with one optimizer throughout: a slight favour to it."""
        learner = WholeModel(site.small_model, site.small_rate, (), site.plan.training.head_learning_rate)
        steps = own_steps(site.plan, site.index)
        rounds = jointly(steps, site.plan.schedule.rounds)
        ends = list(accumulate(sum(n for _, n in parts) for parts in rounds[1:]))
        start = learner.private_start()
        reached: dict[int, Metrics] = {} if all(ends) else {0: site.evaluate(learner, {}, start)}

        def watch(step: int, _: float, state: Tensors) -> bool:
            if step in ends:
                reached[step] = site.evaluate(learner, {}, state)
            return False

        site.fit(learner, {}, start, "joint", steps, 0, watch=watch)
        curve = [reached[end] for end in ends]
        cost = [site.training_flops(learner, "joint", end, 0) for end in ends]
        return Ended(curve[-1], curve, cost, learner.trained(), count(site.small_model))
