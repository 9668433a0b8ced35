"""Model folders as they come from elsewhere: written by transformers, then changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedgrow.architectures import Shape
from fedgrow.architectures.models import quiet
from tests import tiny

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)


def folder(path: Path, name: str, **overrides: Any) -> tuple[Any, Path]:
    """Save a tiny model; return it and its folder."""
    shape = SHAPE.model_copy(update={"decoder_layers": 2}) if name == "t5" else SHAPE
    model = tiny.model(name, shape, dtype=torch.float32, **overrides)
    with quiet():
        model.save_pretrained(path)
    return model, path


def edit_tensors(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    file = path / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file({n: t.contiguous() for n, t in change(tensors).items()}, file, metadata={"format": "pt"})


def edit_config(path: Path, **values: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
