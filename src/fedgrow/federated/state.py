"""A participant's private tensors on its own disk, one file per round, so that any round can be run again."""

from pathlib import Path

from fedgrow.disk.atomic import read_json, read_tensors, write_json, write_tensors
from fedgrow.errors import FedgrowError
from fedgrow.learners.base import Tensors

BEGAN = "began.json"
KEPT = 3  # the round in progress, the one before, and one more for a server that is a round behind


class PrivateState:
    """Private tensors by round; round 0 is the state before the first federated round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, server_round: int) -> Path:
        return self.folder / f"round-{server_round:04d}.safetensors"

    def has(self, server_round: int) -> bool:
        """Whether the state after a round is on disk."""
        return self._path(server_round).is_file()

    def latest(self, server_round: int) -> int | None:
        """Return the last round up to this one whose state is on disk, if there is any."""
        return max((r for r in self._rounds() if r <= server_round), default=None)

    def _rounds(self) -> list[int]:
        return [int(path.stem.removeprefix("round-")) for path in self.folder.glob("round-*.safetensors")]

    def load(self, server_round: int) -> Tensors:
        """Return the state after a round.

        Raises:
            FedgrowError: it is not on disk.
        """
        if not self.has(server_round):
            raise FedgrowError(
                f"private state of round {server_round} is missing in {self.folder}; start the run afresh in a new folder"
            )
        return read_tensors(self._path(server_round))

    def save(self, server_round: int, tensors: Tensors, *, began: int | None = None) -> None:
        """Write the state after a round and forget those that no round that can be asked again begins with.

        Args:
            server_round: the round.
            tensors: the state.
            began: the round with whose state this one began, where that need not be the last before it.
        """
        write_tensors(self._path(server_round), tensors)
        oldest = self.latest(server_round - KEPT + 1)  # perhaps long before: it may have missed rounds
        needed = self._needed(server_round, began)
        for number in self._rounds():
            if oldest is not None and number < oldest and number not in needed:
                self._path(number).unlink()

    def _needed(self, server_round: int, began: int | None) -> set[int]:
        """Return with whose states the last rounds began, this one's noted, as far as it was said."""
        path = self.folder / BEGAN
        known: dict[str, int] = read_json(path) if path.is_file() else {}
        if began is not None:
            last = {number: at for number, at in known.items() if server_round - KEPT < int(number)}
            known = last | {str(server_round): began}
            write_json(path, known)
        return set(known.values())
