"""A learner of three vectors, small enough to know what every step does to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput

from fedgrow.config.plan import TrainingPlan
from fedgrow.learners import Group, Learner, Phase, Tensors
from fedgrow.tasks import Codec, Encoded, Task
from fedgrow.training.loop import Fitted, fit

RATES = {"sent": 0.1, "kept": 0.01, "head": 0.001}


class Line(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        for name in RATES:
            self.register_parameter(name, nn.Parameter(torch.zeros(4)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Any:
        return ImageClassifierOutput(logits=self.dropout(x) @ (self.sent + self.kept + self.head))


class Toy(Learner):
    """``sent`` is shared; ``kept`` and ``head`` are private. It remembers every state that it saw."""

    def __init__(self, dropout: float = 0.0) -> None:
        self.line, self.seen = Line(dropout), []

    def shared_start(self) -> Tensors:
        return {"sent": torch.zeros(4)}

    def private_start(self) -> Tensors:
        return {"kept": torch.ones(4), "head": torch.full((4,), -1.0)}

    def groups(self, phase: Phase) -> list[Group]:
        names = {"local": ["kept", "head"], "grow": ["sent", "head"], "joint": ["sent", "kept", "head"]}[
            phase
        ]
        return [Group((name,), RATES[name]) for name in names]

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        weights = {**shared, **private}
        self.seen.append({name: w.detach().clone() for name, w in weights.items()})
        return weights

    @property
    def module(self) -> nn.Module:
        return self.line

    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        model = Line(self.line.dropout.p)
        model.load_state_dict(self.weights(shared, private))
        return model


class Rows(Codec):
    """Rows of numbers; it remembers every batch that was asked for."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def encode(self, examples: Any) -> Encoded:
        raise NotImplementedError

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        self.batches.append(list(indices))
        return {"x": torch.stack([encoded.inputs[i] for i in indices])}, encoded.targets[list(indices)]

    def config_values(self) -> dict[str, Any]:
        return {}

    def save(self, folder: Any) -> None: ...


def squares(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits - targets).square().mean()


class Fit(Task):
    """Squares by default, or any other loss."""

    name, metrics = "fit", ("mean_error",)

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor] = squares) -> None:
        self._loss = loss

    def codec(self, *_: Any) -> Codec:
        return Rows()

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self._loss(logits, targets)

    def tally(self, logits: Tensor, targets: Tensor) -> Any:
        return logits - targets

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        return {"mean_error": float(torch.cat(list(tallies)).mean())}


def data(count: int = 10) -> Encoded:
    generator = torch.Generator().manual_seed(5)
    return Encoded(
        [torch.randn(4, generator=generator) for _ in range(count)], torch.randn(count, generator=generator)
    )


def fitted(
    learner: Toy | None = None,
    *,
    task: Task | None = None,
    codec: Rows | None = None,
    phase: Phase = "joint",
    steps: int = 6,
    seed: int = 0,
    examples: Encoded | None = None,
    **settings: Any,
) -> Fitted:
    learner = learner or Toy()
    return fit(
        learner,
        learner.shared_start(),
        learner.private_start(),
        examples or data(),
        codec or Rows(),
        task or Fit(),
        TrainingPlan(**{"batch_size": 4} | settings),
        phase=phase,
        steps=steps,
        seed=seed,
    )


def everything(result: Fitted) -> dict[str, Tensor]:
    return {**result.shared, **result.private}


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
