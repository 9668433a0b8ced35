"""What participants sent in a round, on disk until it is aggregated: the server holds one reply at a time in memory."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from fedgrow.approaches.base import Sent
from fedgrow.disk.atomic import read_tensors, write_tensors
from fedgrow.learners.base import Tensors


class Spool(Mapping[int, Sent]):
    """The replies of one round by participant, in the participants' order, each read when it is asked for.

    Args:
        folder: emptied first: a round that is begun again is asked for again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.examples: dict[int, int] = {}
        self.clear()

    def put(self, participant: int, arrays: Tensors, examples: int) -> None:
        """Keep a reply."""
        write_tensors(self._path(participant), arrays)
        self.examples[participant] = examples

    def clear(self) -> None:
        """Forget all replies."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.examples.clear()

    def _path(self, participant: int) -> Path:
        return self.folder / f"{participant:06d}.safetensors"

    def __getitem__(self, participant: int) -> Sent:
        return Sent(read_tensors(self._path(participant)), self.examples[participant])

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.examples))

    def __len__(self) -> int:
        return len(self.examples)
