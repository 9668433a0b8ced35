"""Studies small enough for tests, on the tiny federation."""

from pathlib import Path
from typing import Any

import yaml

from fedgrow.config.load import load_study
from fedgrow.config.study import Study
from tests.federation import PLAN

METHODS: dict[str, Any] = {
    "together": {},
    "tied": {"set": {"operator": {"kind": "tied"}}},
    "small": {"approach": "small"},
}


def study(folder: Path, **changes: Any) -> Study:
    """Return a study of the tiny plan, written into a folder beside it."""
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    raw = {"name": "tiny", "plan": "plan.yaml", "methods": METHODS, "seeds": [0]} | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_study(folder / "study.yaml")
