"""Run the command line in this process, as the installed script does."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedgrow.cli import app
from fedgrow.federated.member import member_at
from tests.federation import PLAN


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, and its output with line breaks and frames evened out."""

    code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        return " ".join(self.stdout.replace("│", " ").split())


Run = Callable[..., Outcome]
SCRIPT = Path(sys.executable).with_name("fedgrow")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Outcome:
        member_at.cache_clear()
        with pytest.raises(SystemExit) as ended:
            app([str(a) for a in arguments], prog_name="fedgrow")
        out, err = capsys.readouterr()
        return Outcome(ended.value.code or 0, out, err)

    return command


def refused(outcome: Outcome, *fragments: str) -> None:
    """Check that a command ended with code 1 and one clear text on stderr."""
    assert outcome.code == 1
    assert outcome.stdout.strip() == ""
    assert outcome.stderr.strip().startswith("error: ")
    assert "Traceback" not in outcome.stderr
    assert [f for f in fragments if f not in outcome.stderr] == []


def plan_file(folder: Path, **changes: Any) -> Path:
    """Write the tiny plan with one participant and as little training as there can be."""
    quick = {
        "participants": PLAN["participants"][:1],
        "prepare": {"steps": 1},
        "schedule": {"rounds": 1, "steps": 1},
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN | quick | changes))
    return folder / "plan.yaml"
