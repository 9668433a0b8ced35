"""What a compression is, and how a participant and the server use one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from fedgrow.errors import FedgrowError

Parts = dict[str, Tensor]
"""What travels of one array: a tensor for each of a compression's ``parts``."""


class Compression(ABC):
    """A way to write an array in fewer bytes.

    Attributes:
        name: its kind in plans.
        exact: whether arrays travel as they are: no change is taken, nothing is lost, nothing is kept.
        parts: what an array becomes; ``""`` is the array itself, smaller.
        together: parts of one number an array, which travel as one array for all: an array of its own costs 200 bytes.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("",)
    together: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def encode(self, change: Tensor) -> Parts:
        """Write a float32 array smaller; the same shape always gives the same names, shapes and types."""

    @abstractmethod
    def size(self, numbers: int) -> int:
        """Return in how many bytes an array of so many float32 numbers is written."""

    @abstractmethod
    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Read it back as float32.

        Raises:
            FedgrowError: the parts are none that ``encode`` makes; the text says why, without their values.
        """


class Nothing(Compression):
    """Arrays travel as they are."""

    name = "none"
    exact = True

    def encode(self, change: Tensor) -> Parts:
        """Return the array."""
        return {"": change}

    def size(self, numbers: int) -> int:
        """Return four bytes a number."""
        return 4 * numbers

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Return the array."""
        return parts[""]


def compress(
    compression: Compression,
    sent: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    lost: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what travels, and what was lost of it and begins the next round's change.

    Args:
        compression: how.
        sent: the arrays after the round.
        given: the arrays as the server gave them.
        lost: what earlier rounds lost; empty before the first.

    Raises:
        FedgrowError: a change is not finite: a few levels might hide that, and what is kept of it would spoil what comes
            after.
    """
    if compression.exact:
        return dict(sent), {}
    travels, left = {}, {}
    together: dict[str, list[Tensor]] = {part: [] for part in compression.together}
    for name in sorted(sent):
        change = sent[name].float() - given[name].float()
        if name in lost:
            change = change + lost[name]
        if not bool(change.isfinite().all()):
            raise FedgrowError(f"array {name!r} changed by values that are not finite")
        parts = compression.encode(change)
        for part, tensor in parts.items():
            if part in together:
                together[part].append(tensor)
            else:
                travels[_wire_name(name, part)] = tensor
        left[name] = change - compression.decode(parts, change.shape)
    return travels | {_wire_name("", part): torch.cat(t) for part, t in together.items() if t}, left


def restore(
    compression: Compression, travelled: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a participant's arrays after a round, from what travelled and what it was given.

    Raises:
        FedgrowError: what travelled is not what the compression makes.
    """
    if compression.exact:
        return dict(travelled)
    due = compress(compression, given, given, {})[0]
    for name, like in due.items():
        if name not in travelled or (travelled[name].shape, travelled[name].dtype) != (
            like.shape,
            like.dtype,
        ):
            raise FedgrowError(f"array {name!r} did not travel as {compression.name}")
    found = {}
    for place, name in enumerate(sorted(given)):
        array = given[name]
        parts = {
            part: travelled[_wire_name("", part)][place : place + 1]
            if part in compression.together
            else travelled[_wire_name(name, part)]
            for part in compression.parts
        }
        change = compression.decode(parts, array.shape)
        found[name] = (array.float() + change).to(array.dtype)
    return found


def _wire_name(name: str, part: str) -> str:
    return f"{name}:{part}" if part else name
