"""Short names for the models of the zoo that most tests use."""

from typing import Any

import torch
from torch import Tensor

from fedgrow.architectures import Family, Shape, families
from tests import zoo
from tests.zoo import IMAGE, LABELS, PATCH, POSITIONS, VOCAB

__all__ = ["IMAGE", "LABELS", "PATCH", "POSITIONS", "VOCAB"]

NAMES: dict[str, tuple[str, str | None]] = {
    "bert": ("bert", "sequence-classification"),
    "bert-mlm": ("bert", "masked-language-modelling"),
    "bert-body": ("bert", None),
    "vit": ("vit", "image-classification"),
    "vit-body": ("vit", None),
    "gpt2": ("gpt2", "causal-language-modelling"),
    "gpt2-classify": ("gpt2", "sequence-classification"),
    "gpt2-body": ("gpt2", None),
    "llama": ("llama", "causal-language-modelling"),
    "llama-classify": ("llama", "sequence-classification"),
    "t5": ("t5", "sequence-to-sequence-language-modelling"),
}
EPS = {"bert": 1e-12, "vit": 1e-12, "gpt2": 1e-5, "llama": 1e-6, "t5": 1e-6}  # their classes' own
# Those whose heads x head size is the width; tests of growth by shape go through them.
WITH_HEAD = ("bert", "bert-mlm", "vit", "gpt2", "gpt2-classify")


def family(name: str) -> Family:
    return families()[NAMES[name][0]]


def config(name: str, shape: Shape, **overrides: Any) -> Any:
    """Return the configuration of a tiny model; see ``zoo.config``."""
    return zoo.config(family(name), shape, **_eps(name) | overrides)


def model(name: str, shape: Shape, *, std: float = 0.5, **settings: Any) -> Any:
    """Return a tiny model whose parameters are all drawn at random; see ``zoo.model``."""
    return zoo.model(family(name), NAMES[name][1], shape, std=std, **_eps(name) | settings)


def inputs(name: str, *, dtype: torch.dtype = torch.float64, **sizes: int) -> dict[str, Tensor]:
    """Return random inputs for a tiny model, pixels in this type."""
    batch = zoo.inputs(family(name), NAMES[name][1], **sizes)
    return {n: x.to(dtype) if x.is_floating_point() else x for n, x in batch.items()}


logits = zoo.outputs


def _eps(name: str) -> dict[str, float]:
    return {family(name).config["norm_eps"]: EPS[family(name).family]}
