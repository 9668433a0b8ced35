"""A site's model and data, tried on a plan in memory, for what only reading, encoding and loading them shows."""

from dataclasses import dataclass

from fedgrow.architectures import Shape, read
from fedgrow.architectures.models import load_config
from fedgrow.config.plan import Plan
from fedgrow.learners import WholeModel
from fedgrow.runs.folder import divided
from fedgrow.tasks import TASKS, Given
from fedgrow.tasks.models import load_for
from fedgrow.training.loop import evaluate


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        small: shape of the small model.
        train: how many examples there are to train on.
        held_out: how many to be evaluated on.
        metrics: what the small model, as it came, reaches on those.
    """

    small: Shape
    train: int
    held_out: int
    metrics: dict[str, float]


def tried(plan: Plan, name: str) -> Trial:
    """Encode a participant's examples, load its small model, and evaluate it.

    Args:
        plan: the plan, with what the participant brings: a folder or hub id as its model, and data of its own.
        name: the participant's.

    Raises:
        FedgrowError: one does not go with the other, or with the plan.
    """
    entry, task, training = plan.participants[plan.names.index(name)], TASKS[plan.task], plan.training
    assert isinstance(entry.model, str)  # a site's is
    shard, train, held_out = divided(plan, {}, name)
    examples = shard.take(train)
    codec = task.codec(Given(plan, entry, shard, load_config(entry.model), examples))
    data, test = codec.encode(examples), codec.encode(shard.take(held_out))
    model, _ = load_for(entry.model, task, codec, seed=plan.seed)
    learner = WholeModel(model, training.model_learning_rate)
    metrics = evaluate(learner, {}, learner.private_start(), test, codec, task, training.batch_size, training)
    return Trial(read(model).shape, len(data), len(test), metrics)
