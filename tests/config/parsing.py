"""Parse the tiny plan with settings changed, and expect it to be refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedgrow.config.load import parse_plan
from fedgrow.config.plan import Plan
from fedgrow.errors import FedgrowError
from tests.federation import PLAN

VIT = {"layers": 1, "width": 8, "heads": 2, "ffn": 8}


def parsed(*settings: str, without: str = "", **changes: Any) -> Plan:
    raw = {key: value for key, value in (PLAN | changes).items() if key != without}
    return parse_plan(yaml.safe_dump(raw), "tiny", Path.cwd(), settings)


def refusal(*settings: str, **changes: Any) -> str:
    with pytest.raises(FedgrowError) as caught:
        parsed(*settings, **changes)
    return str(caught.value)


def participants(*models: Any, **values: Any) -> list[dict[str, Any]]:
    """Return entries named p0, p1, ... with these models."""
    return [{"name": f"p{i}", "model": model, **values} for i, model in enumerate(models)]
