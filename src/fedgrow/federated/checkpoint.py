"""The server's checkpoints: one folder a round, written whole or not at all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from fedgrow.disk.atomic import read_arrays, read_json, read_record, write_arrays, write_folder, write_json


@dataclass(frozen=True)
class Checkpoint:
    """The state of a federation after a round.

    Attributes:
        server_round: the round; 0 is the state before the first.
        arrays: the shared arrays.
        metrics: per metric, one value a participant in the plan's order; None for one that was away.
        taken: for each participant in the plan's order, the last round whose answer was taken; 0 for none.
        bytes_up: serialised bytes from participants so far.
        bytes_down: serialised bytes to participants so far.
        total_up: the same with the last broadcast and its replies, once the models are saved.
        total_down: likewise.
        strategy: what the strategy carries from round to round.
    """

    server_round: int
    arrays: dict[str, np.ndarray]
    metrics: dict[str, list[float | None]]
    taken: list[int]
    bytes_up: int
    bytes_down: int
    total_up: int | None = None
    total_down: int | None = None
    strategy: dict[str, np.ndarray] = field(default_factory=dict)


class RoundRecord(BaseModel):
    """What ``round.json`` holds: a checkpoint's metrics, whose answers were taken, and bytes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    round: NonNegativeInt
    metrics: dict[str, list[float | None]]
    taken: list[NonNegativeInt]
    bytes_up: NonNegativeInt
    bytes_down: NonNegativeInt
    total_up: NonNegativeInt | None
    total_down: NonNegativeInt | None


class Checkpoints:
    """Checkpoints under ``<folder>/rounds``; arrays are kept for the last rounds only, metrics for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rounds"

    def _path(self, server_round: int) -> Path:
        return self.folder / f"{server_round:04d}"

    def _there(self) -> list[Path]:
        return sorted((p for p in self.folder.glob("*") if p.name.isdecimal()), key=lambda p: int(p.name))

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a round and drop the arrays of older ones."""
        record = {
            "round": checkpoint.server_round,
            "metrics": checkpoint.metrics,
            "taken": checkpoint.taken,
            "bytes_up": checkpoint.bytes_up,
            "bytes_down": checkpoint.bytes_down,
            "total_up": checkpoint.total_up,
            "total_down": checkpoint.total_down,
        }

        def fill(folder: Path) -> None:
            write_arrays(folder / "shared.safetensors", checkpoint.arrays)
            write_arrays(folder / "strategy.safetensors", checkpoint.strategy)
            write_json(folder / "round.json", record)

        write_folder(self._path(checkpoint.server_round), fill)
        if checkpoint.server_round >= 2:
            for name in ("shared.safetensors", "strategy.safetensors"):
                (self._path(checkpoint.server_round - 2) / name).unlink(missing_ok=True)

    def add(self, server_round: int, metrics: dict[str, list[float | None]]) -> None:
        """Add metrics of a round that came later."""
        path = self._path(server_round) / "round.json"
        record = read_json(path)
        write_json(path, record | {"metrics": record["metrics"] | metrics})

    def rounds(self) -> list[dict[str, Any]]:
        """Return the records of all rounds so far, in order."""
        return [
            read_record(p / "round.json", RoundRecord).model_dump()
            for p in self._there()
            if (p / "round.json").is_file()
        ]

    def last(self) -> Checkpoint | None:
        """Return the last whole round, if there is one."""
        whole = [p for p in self._there() if (p / "shared.safetensors").is_file()]
        if not whole:
            return None
        record = read_record(whole[-1] / "round.json", RoundRecord).model_dump()
        return Checkpoint(
            record["round"],
            read_arrays(whole[-1] / "shared.safetensors"),
            record["metrics"],
            record["taken"],
            record["bytes_up"],
            record["bytes_down"],
            record["total_up"],
            record["total_down"],
            read_arrays(whole[-1] / "strategy.safetensors"),
        )
