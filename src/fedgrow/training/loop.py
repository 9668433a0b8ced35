"""Local training and evaluation of a learner: one thread, every random draw from the given seed."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from fedgrow.architectures.models import seeded
from fedgrow.architectures.outputs import tensor_of
from fedgrow.config.plan import TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.learners.base import Group, Learner, Phase, Tensors, whole
from fedgrow.tasks.base import Codec, Encoded, Task
from fedgrow.training.device import autocast, device_of, on

# Called after every step, skipped ones too, with its number (from 1), its loss, and all tensors as they are; true ends
# the training.
Watch = Callable[[int, float, Tensors], bool]


@dataclass(frozen=True)
class Fitted:
    """What a round of local training leaves: the tensors, the mean loss, and how many steps were skipped."""

    shared: Tensors
    private: Tensors
    loss: float
    skipped: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums have one order on every machine and in every engine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
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
    watch: Watch | None = None,
    trains: Callable[[str], bool] | None = None,
    batches: Iterator[list[int]] | None = None,
) -> Fitted:
    """Train for so many steps with a fresh AdamW.

    Args:
        learner: what is trained.
        shared: shared tensors at the start; not changed.
        private: private tensors at the start; not changed.
        data: the participant's training examples.
        codec: collates batches.
        task: the loss.
        plan: batch size, warm-up and decay of the rates, clipping, and what to do when a loss is not finite.
        phase: what is trained.
        steps: optimizer steps.
        seed: for batches and dropout, from ``seeds.derive``.
        trains: which of the tensors that the phase trains are trained; default: all.
        watch: sees every step (progress, evaluation on the way) and may end the training early.
        batches: the examples of every step; default: drawn from the seed.

    Raises:
        FedgrowError: there is nothing to train, a loss or gradient is not finite and the plan says stop, or no step had
            finite ones.
    """
    device = device_of(plan)
    state = {name: t.detach().to(device, copy=True) for name, t in {**shared, **private}.items()}
    groups = learner.groups(phase)
    if trains is not None:
        groups = [Group(tuple(n for n in g.names if trains(n)), g.learning_rate) for g in groups]
        groups = [g for g in groups if g.names]
    if not groups:
        raise FedgrowError(
            f"nothing to train in phase {phase!r}: the model has no head of its own, and its operators are fixed, frozen or "
            "not in turn; choose another local_operator.kind, schedule.kind or operator.turns"
        )
    for name in (n for g in groups for n in g.names):
        state[name].requires_grad_()
    optimizer = torch.optim.AdamW(
        [{"params": [state[n] for n in g.names], "lr": g.learning_rate} for g in groups],
        weight_decay=plan.weight_decay,
        fused=True,
    )
    trained = [state[n] for g in groups for n in g.names]
    held = {n: shared[n].detach().to(device) for g in groups for n in g.names if n in shared}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(plan, steps))
    dropout, drawn = draws(len(data), plan.batch_size, seed)
    losses, skipped = [], 0
    with one_thread(), seeded(dropout):
        for step in range(steps):
            inputs, targets = codec.batch(data, next(batches or drawn))
            weights = learner.weights({n: state[n] for n in shared}, {n: state[n] for n in private})
            with autocast(plan, device):
                loss = learner.loss(task, weights, state, on(device, inputs), targets)
            if plan.proximal and held:
                loss = loss + _pull(plan.proximal, held, state)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            value = float(loss.detach())
            norm = float(torch.nn.utils.clip_grad_norm_(trained, plan.clip_norm))
            if not (math.isfinite(value) and math.isfinite(norm)):
                if plan.not_finite == "stop":
                    what = f"gradient's norm is {norm}" if math.isfinite(value) else f"loss is {value}"
                    raise FedgrowError(
                        f"the {what} at step {step + 1} of {steps} ({phase}); lower the learning rates, "
                        "or set training.not_finite to skip such steps"
                    )
                skipped += 1
            else:
                optimizer.step()
                schedule.step()
                losses.append(value)
            if watch is not None and watch(step + 1, value, state):
                break
    if steps and not losses:
        raise FedgrowError(
            f"none of {steps} steps had a finite loss and gradient ({phase}); lower the learning rates"
        )
    done = {name: t.detach().cpu() for name, t in state.items()}
    return Fitted(
        {n: done[n] for n in shared},
        {n: done[n] for n in private},
        float(np.mean(losses)) if losses else 0.0,
        skipped,
    )


def _pull(mu: float, held: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Tensor:
    """Return FedProx's proximal term: mu / 2 times the squared distance of what is shared from the round's start."""
    return mu / 2 * torch.stack([(state[n] - start).square().sum() for n, start in held.items()]).sum()


def _rate(plan: TrainingPlan, steps: int) -> Callable[[int], float]:
    """Return the share of the rates at a step: an even rise over the warm-up, then constant or evenly down to zero."""
    warmup = max(1, round(plan.warmup * steps))

    def share(step: int) -> float:
        if step < warmup or plan.decay == "none":
            return min(1.0, (step + 1) / warmup)
        return (steps - step) / (steps - warmup + 1)

    return share


def draws(count: int, size: int, seed: int) -> tuple[int, Iterator[list[int]]]:
    """Return what a training draws from its seed: that of dropout, and the batches."""
    rng = np.random.default_rng(seed)
    return int(rng.integers(2**31)), _batches(count, size, rng)


def _batches(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield batches for ever: every example once in each shuffled pass."""
    queue: list[int] = []
    while True:
        while len(queue) < min(size, count):
            queue.extend(rng.permutation(count).tolist())
        yield queue[: min(size, count)]
        queue = queue[min(size, count) :]


@torch.no_grad()
def predict(
    model: nn.Module, data: Encoded, codec: Codec, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Any]]:
    """Yield logits and targets of every batch, both in memory, wherever the model is.

    Texts of like length come together, the shortest first: little is padded then.
    """
    order = sorted(range(len(data)), key=lambda i: len(data.inputs[i]))
    for begin in range(0, len(data), batch_size):
        inputs, targets = codec.batch(data, order[begin : begin + batch_size])
        yield whole(tensor_of(model(**on(device, inputs)))).cpu(), targets


@torch.no_grad()
def evaluate(
    learner: Learner,
    shared: Mapping[str, Tensor],
    private: Mapping[str, Tensor],
    data: Encoded,
    codec: Codec,
    task: Task,
    batch_size: int,
    plan: TrainingPlan | None = None,
    choices: Bool[Tensor, " labels"] | None = None,
) -> dict[str, float]:
    """Return the task's metrics, and the mean loss over batches as ``loss``.

    The ordinary model is made once: cheaper over many batches than growing, or meeting factors, in each. A plan says
    where, and in which type, to compute; default: here, as the weights are. Choices say which of the labels there are to
    choose among: the others' logits are minus infinity; default: all.

    Raises:
        FedgrowError: the loss or a metric is not finite.
    """
    plan = plan or TrainingPlan()
    device = device_of(plan)
    tallies, losses = [], []
    with one_thread():
        model = learner.materialise(on(device, shared), on(device, private)).to(device).eval()
        with autocast(plan, device):
            for logits, targets in predict(model, data, codec, batch_size, device):
                if choices is not None:
                    logits = logits.masked_fill(~choices, -torch.inf)
                tallies.append(task.tally(logits, targets))
                losses.append((float(task.loss(logits, targets)), len(targets)))
    loss = sum(value * n for value, n in losses) / sum(n for _, n in losses)
    metrics = {"loss": loss, **task.score(tallies)}
    if not all(math.isfinite(value) for value in metrics.values()):
        raise FedgrowError(f"{metrics} on held-out data; lower the learning rates")
    return metrics
