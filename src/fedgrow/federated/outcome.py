"""What an approach came to, kept in its folder of the run."""

from fedgrow.approaches.base import Outcome
from fedgrow.disk.atomic import read_json, write_json
from fedgrow.runs.folder import RunFolder

FILE = "outcome.json"


def has_outcome(run: RunFolder, name: str) -> bool:
    """Tell whether an approach is done."""
    return (run.approach(name) / FILE).is_file()


def read_outcome(run: RunFolder, name: str) -> Outcome:
    """Return what an approach came to."""
    return Outcome.from_json(read_json(run.approach(name) / FILE))


def write_outcome(run: RunFolder, name: str, outcome: Outcome) -> None:
    """Keep what an approach came to."""
    write_json(run.approach(name) / FILE, outcome.to_json())
