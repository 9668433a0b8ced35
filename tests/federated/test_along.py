"""Evaluation that comes along with the next round's training says the same in half the phases."""

from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny

SCHEDULE = {"kind": "joint", "rounds": 3, "steps": 2}


def test_the_same_figures_and_the_same_operator(tmp_path):
    apart = run_tiny(tmp_path / "apart", schedule=SCHEDULE)
    along = run_tiny(tmp_path / "along", schedule=SCHEDULE | {"evaluation": "along"})
    assert along["grown"] == apart["grown"]
    files = [tmp_path / run / "operator" / "operator.safetensors" for run in ("apart", "along")]
    assert files[0].read_bytes() == files[1].read_bytes()
    records = [Checkpoints(tmp_path / run).rounds()[1:] for run in ("apart", "along")]
    assert [r.metrics for r in records[0]] == [r.metrics for r in records[1]]
    events = [(RunFolder(tmp_path / run).path / "events.jsonl").read_text() for run in ("apart", "along")]
    assert [text.count('"step": "evaluate.grow"') for text in events] == [3, 1]
