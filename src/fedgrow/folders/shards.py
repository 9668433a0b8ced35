"""Safetensors files that are written piece by piece.

The safetensors library writes tensors that are all in memory. Here names, types and sizes are known before any value
is, so each file starts with its header (https://huggingface.co/docs/safetensors: 8 bytes length, JSON, then the data)
and pieces are appended as they come; nothing is held. Names and index are those that transformers reads.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from fedgrow.growth.stream import Planned

STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
STORED_AS = {dtype: name for name, dtype in STORED.items()}


def shards(plans: Sequence[Planned], most: int) -> list[list[Planned]]:
    """Divide tensors into files of at most so many bytes, in their order; one tensor is never divided."""
    files: list[list[Planned]] = [[]]
    filled = 0
    for plan in plans:
        if files[-1] and filled + plan.bytes > most:
            files.append([])
            filled = 0
        files[-1].append(plan)
        filled += plan.bytes
    return files


def write(
    folder: Path,
    plans: Sequence[Planned],
    most: int,
    pieces: Callable[[Planned], Iterable[Tensor]],
    done: Callable[[int], None],
) -> None:
    """Write tensors as ``model.safetensors``, or as numbered files with an index.

    Args:
        folder: where to.
        plans: the tensors.
        most: bytes in one file.
        pieces: makes the rows of a tensor.
        done: told of bytes as they are written.
    """
    files = shards(plans, most)
    names = ["model.safetensors"]
    if len(files) > 1:
        names = [f"model-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))]
        index = {
            "metadata": {"total_size": sum(plan.bytes for plan in plans)},
            "weight_map": {p.name: file for file, group in zip(names, files, strict=True) for p in group},
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
    for name, group in zip(names, files, strict=True):
        with (folder / name).open("wb") as file:
            _write_file(file, group, pieces, done)


def _write_file(
    file: BinaryIO,
    group: Sequence[Planned],
    pieces: Callable[[Planned], Iterable[Tensor]],
    done: Callable[[int], None],
) -> None:
    group = sorted(group, key=lambda plan: -plan.dtype.itemsize)  # so that every tensor is aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for plan in group:
        header[plan.name] = {
            "dtype": STORED_AS[plan.dtype],
            "shape": list(plan.size),
            "data_offsets": [start, start + plan.bytes],
        }
        start += plan.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for plan in group:
        written = 0
        for piece in pieces(plan):
            data = piece.detach().contiguous().flatten().view(torch.uint8).numpy()
            written += file.write(data.data)
            done(data.nbytes)
        assert written == plan.bytes, f"{plan.name}: {written} bytes instead of {plan.bytes}"
