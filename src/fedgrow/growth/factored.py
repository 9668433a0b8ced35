"""A linear layer whose weight is left as factors: activations meet the maps themselves."""

import torch
from torch import Tensor, nn

from fedgrow.growth.maps import Map, lengthwise, over_tensors, tensors
from fedgrow.growth.maps.learned import add_thin
from fedgrow.growth.maps.probing import apply_probed, probes
from fedgrow.growth.paths import Path


class Recent:
    """The activations pulled last: query, key and value read the same ones, which are then pulled once."""

    def __init__(self) -> None:
        self.clear()

    def clear(self, *_: object) -> None:
        """Forget them."""
        self.key: list[Tensor] = []
        self.pulled: Tensor | None = None

    def pull(self, structure: Map, arrays: list[Tensor], x: Tensor) -> Tensor:
        """Pull activations through a map with these arrays."""
        key = [x, *arrays]
        same = len(key) == len(self.key) and all(a is b for a, b in zip(key, self.key, strict=True))
        if self.pulled is None or not same:
            self.pulled, self.key = _bind(structure, arrays).pull(x, -1), key
        return self.pulled


class Factored(nn.Module):
    """Pull activations, meet the weight, push them.

    ``weight`` is materialised as far as the path says; ``pull_<i>`` and ``push_<i>`` are the arrays of the maps.

    Args:
        path: what is left to activations.
        bias: whether there is one.
        recent: the activations pulled last in the whole model.
    """

    weight: Tensor
    residual_up: Tensor
    residual_down: Tensor

    def __init__(self, path: Path, *, bias: bool, recent: Recent) -> None:
        super().__init__()
        self.transposed, self.recent = path.reads == 0, recent
        self.maps = {"pull" if dim == path.reads else "push": m for dim, m in path.maps.items()}
        self.weight = later()
        self.bias = later() if bias else None
        self.residual = path.residual
        names = [f"{part}_{i}" for part, m in self.maps.items() for i in range(len(tensors(m)))]
        for name in (*names, *(("residual_up", "residual_down") if path.residual else ())):
            setattr(self, name, later())

    def forward(self, x: Tensor) -> Tensor:
        """Map activations (..., large width read) to (..., large width written)."""
        read = self.recent.pull(self.maps["pull"], self._arrays("pull"), x) if "pull" in self.maps else x
        flat = read.flatten(0, -2)
        weight = self.weight.mT if self.transposed else self.weight
        y = self._push(flat, weight) if "push" in self.maps else nn.functional.linear(flat, weight, self.bias)
        if self.residual:
            y = add_thin(y, x.flatten(0, -2) @ self.residual_down, self.residual_up, x)
        return y.view(*x.shape[:-1], -1)

    def _push(self, read: Tensor, weight: Tensor) -> Tensor:
        push = _bind(self.maps["push"], self._arrays("push"))
        thin = [read @ lengthwise(weight.mT @ probe) for probe in probes(push)]
        y = apply_probed(push, read @ weight.mT, iter(thin))
        if self.bias is not None:
            y += self.bias  # in place: y is new
        return y

    def _arrays(self, part: str) -> list[Tensor]:
        return [getattr(self, f"{part}_{i}") for i in range(len(tensors(self.maps[part])))]


def _bind(structure: Map, arrays: list[Tensor]) -> Map:
    queue = iter(arrays)
    return over_tensors(structure, lambda _: next(queue))


def later() -> nn.Parameter:
    """Return a parameter that comes with every call."""
    return nn.Parameter(torch.empty(0, device="meta"), requires_grad=False)
