"""The server's checkpoints: one folder a round, written whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from fedgrow.disk.atomic import read_arrays, read_record, write_arrays, write_folder, write_json


class RoundRecord(BaseModel):
    """What ``round.json`` holds.

    Attributes:
        round: the round; 0 is the state before the first.
        metrics: per metric, one value a participant in the plan's order; None for one that was away.
        taken: for each participant in the plan's order, the last round whose answer was taken; 0 for none.
        bytes_up: serialised bytes from participants so far.
        bytes_down: serialised bytes to participants so far.
        total_up: the same with the last broadcast and its replies, once the models are saved.
        total_down: likewise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    round: NonNegativeInt
    metrics: dict[str, list[float | None]]
    taken: list[NonNegativeInt]
    bytes_up: NonNegativeInt
    bytes_down: NonNegativeInt
    total_up: NonNegativeInt | None = None
    total_down: NonNegativeInt | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The state of a federation after a round: its record, the shared arrays, and what the strategy carries on."""

    record: RoundRecord
    arrays: dict[str, np.ndarray]
    strategy: dict[str, np.ndarray]


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
        number = checkpoint.record.round

        def fill(folder: Path) -> None:
            write_arrays(folder / "shared.safetensors", checkpoint.arrays)
            write_arrays(folder / "strategy.safetensors", checkpoint.strategy)
            write_json(folder / "round.json", checkpoint.record.model_dump())

        write_folder(self._path(number), fill)
        if number >= 2:
            for name in ("shared.safetensors", "strategy.safetensors"):
                (self._path(number - 2) / name).unlink(missing_ok=True)

    def record(self, server_round: int) -> RoundRecord:
        """Return the record of a round."""
        return read_record(self._path(server_round) / "round.json", RoundRecord)

    def add(self, server_round: int, values: dict[str, Any]) -> None:
        """Change a round's record by what came later; its arrays stay where they are."""
        record = self.record(server_round).model_dump() | values
        write_json(self._path(server_round) / "round.json", RoundRecord(**record).model_dump())

    def rounds(self) -> list[RoundRecord]:
        """Return the records of all rounds so far, in order."""
        files = (path / "round.json" for path in self._there())
        return [read_record(file, RoundRecord) for file in files if file.is_file()]

    def last(self) -> Checkpoint | None:
        """Return the last whole round, if there is one."""
        whole = [p for p in self._there() if (p / "shared.safetensors").is_file()]
        if not whole:
            return None
        return Checkpoint(
            read_record(whole[-1] / "round.json", RoundRecord),
            read_arrays(whole[-1] / "shared.safetensors"),
            read_arrays(whole[-1] / "strategy.safetensors"),
        )
