"""The arithmetic of a training, from the sizes of its batches: of steps that are alike, one is carried out and counted."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from fedgrow.config.plan import TrainingPlan
from fedgrow.methods import Learner, Phase
from fedgrow.tasks import Codec, Encoded, Task
from fedgrow.training.flops import counted
from fedgrow.training.loop import draws, fit


def training_flops(
    learner: Learner,
    shared: Mapping[str, Tensor],
    private: Mapping[str, Tensor],
    data: Encoded,
    codec: Codec,
    task: Task,
    plan: TrainingPlan,
    *,
    phase: Phase,
    steps: int,
    seed: int,
    trains: Callable[[str], bool] | None = None,
    alike: Hashable,
) -> int:
    """Return the floating-point operations of ``fit`` with these arguments (``flops.counted`` says which).

    Args:
        learner: what is trained.
        shared: shared tensors at the start; not changed.
        private: private tensors at the start; not changed.
        data: the training examples.
        codec: collates batches: texts are padded to a batch's longest, so that steps differ.
        task: the loss.
        plan: the batch size.
        phase: what is trained.
        steps: optimizer steps.
        seed: of the batches.
        trains: which of the tensors that the phase trains are trained; default: all.
        alike: all that a step's arithmetic follows from beside phase, tensors' sizes and batch.
    """
    sizes = tuple((name, t.shape) for tensors in (shared, private) for name, t in tensors.items())
    names = tuple(n for g in learner.groups(phase) for n in g.names if trains is None or trains(n))
    with torch.no_grad():
        learner.weights(shared, private)  # what a learner works out once is none of a step
    total = 0
    for rows in islice(draws(len(data), plan.batch_size, seed)[1], steps):
        inputs, _ = codec.batch(data, rows)
        batch = tuple((name, t.shape) for name, t in inputs.items())
        step = partial(
            fit, learner, shared, private, data, codec, task, plan,
            phase=phase, steps=1, seed=seed, trains=trains, batches=iter([rows]),
        )  # fmt: skip
        total += counted(step, (type(learner), learner.reading.shape, names, plan, sizes, batch, alike))
    return total
