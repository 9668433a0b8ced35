"""The arithmetic of a training, from the sizes of its batches.

Steps with the smallest, a middle and the largest batch are carried out and counted. What lies between follows, for the
arithmetic of a batch is quadratic in the length of its texts.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from fractions import Fraction
from itertools import islice
from math import prod

import torch

from fedgrow.learners import Learner, Phase
from fedgrow.tasks import Codec, Encoded
from fedgrow.training.flops import counted
from fedgrow.training.loop import draws


def training_flops(
    train: Callable[..., object],
    learner: Learner,
    data: Encoded,
    codec: Codec,
    batch_size: int,
    *,
    phase: Phase,
    steps: int,
    seed: int,
    trains: Callable[[str], bool] | None = None,
    alike: Hashable,
) -> int:
    """Return the floating-point operations of ``fit`` from a learner's start (``flops.counted`` says which).

    Args:
        train: ``fit`` with the learner, its start and the data given.
        learner: what is trained.
        data: the training examples.
        codec: collates batches: texts are padded to a batch's longest, so that steps differ.
        batch_size: examples of a step.
        phase: what is trained.
        steps: optimizer steps.
        seed: of the batches.
        trains: which of the tensors that the phase trains are trained; default: all.
        alike: all that a step's arithmetic follows from beside phase, tensors' sizes and batch.
    """
    shared, private = learner.shared_start(), learner.private_start()
    tensors = tuple((name, t.shape) for start in (shared, private) for name, t in start.items())
    names = tuple(n for g in learner.groups(phase) for n in g.names if trains is None or trains(n))
    with torch.no_grad():
        learner.weights(shared, private)  # what a learner works out once is none of a step
    times: Counter[int] = Counter()
    example: dict[int, list[int]] = {}
    for rows in islice(draws(len(data), batch_size, seed)[1], steps):
        size = sum(t.numel() for t in codec.batch(data, rows)[0].values())
        times[size] += 1
        example[size] = rows

    def cost(size: int) -> int:
        def step() -> object:
            return train(phase=phase, steps=1, seed=seed, trains=trains, batches=iter([example[size]]))

        rows = len(example[size])
        return counted(step, (type(learner), learner.reading.shape, names, tensors, rows, size, alike))

    sizes = sorted(times)
    known = {size: cost(size) for size in {*sizes[:1], *sizes[len(sizes) // 2 :][:1], *sizes[-1:]}}
    return round(sum(n * (known[s] if s in known else _between(known, s)) for s, n in times.items()))


def _between(known: dict[int, int], size: int) -> Fraction:
    """Return the value at a size of the polynomial through what is known (Lagrange)."""
    return sum(
        (
            value
            * prod((Fraction(size - other, at - other) for other in known if other != at), start=Fraction(1))
            for at, value in known.items()
        ),
        start=Fraction(0),
    )
