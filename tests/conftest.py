import os

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", FLWR_TELEMETRY_ENABLED="0"
)

import jaxtyping

# Shapes in the signatures of fedgrow.growth are checked at every call of every test.
jaxtyping.install_import_hook("fedgrow.growth", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with slow tests: one that came last would leave the other cores with nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
