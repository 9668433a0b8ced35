import os

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", FLWR_TELEMETRY_ENABLED="0"
)

import jaxtyping

# Shapes in the signatures of fedgrow.growth are checked at every call of tests near it; whole runs would take far longer.
jaxtyping.install_import_hook("fedgrow.growth", "beartype.beartype")

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

CHECKED = ("architectures", "folders", "growth", "learners", "parity", "training")

torch.set_num_threads(1)


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: tests of real processes wait for most of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with slow tests: one that came last would leave the other cores with nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Check shapes, or leave it, while a test is set up, run and torn down."""
    part = item.path.relative_to(Path(__file__).parent).parts[0]
    jaxtyping.config.update("jaxtyping_disable", part not in CHECKED)
    return (yield)
