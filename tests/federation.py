"""A federation small enough for tests: three tiny ViTs on a few digits, two rounds."""

from pathlib import Path
from typing import Any

import yaml

from fedgrow.config.load import parse_plan
from fedgrow.config.plan import Plan
from fedgrow.federated.simulate import simulate

PLAN: dict[str, Any] = {
    "name": "tiny",
    "task": "image-classification",
    "family": "vit",
    "data": {"source": "bundled:digits", "limit": 120, "test_fraction": 0.4},
    "partition": {"kind": "iid", "min_examples": 10},
    "model_settings": {"patch_size": 4},
    "participants": [
        {"name": "ada", "model": {"layers": 1, "width": 8, "heads": 2, "ffn": 8}},
        {"name": "bob", "model": {"layers": 2, "width": 8, "heads": 1, "ffn": 12}},
        {"name": "cyd", "model": {"layers": 1, "width": 12, "heads": 2, "ffn": 8}},
    ],
    "prepare": {"steps": 2},
    "intermediate": {"layers": 2, "width": 16, "heads": 2, "ffn": 16},
    "large": {"layers": 3, "width": 24, "heads": 2, "ffn": 24},
    "operator": {"kind": "low-rank", "rank": 2},
    "local_operator": {"kind": "tied"},
    "schedule": {"kind": "joint", "rounds": 2, "steps": 2},
    "training": {"batch_size": 8},
}


def tiny_plan(**changes: Any) -> Plan:
    """Return the tiny plan, with top-level settings changed."""
    return parse_plan(yaml.safe_dump(PLAN | changes), "tiny", Path.cwd())


def run_tiny(
    out: Path, *, engine: str = "local", resume: bool = False, tap: Any = None, **changes: Any
) -> dict[str, Any]:
    """Run the tiny plan."""
    return simulate(tiny_plan(**changes), out, engine=engine, resume=resume, tap=tap)
