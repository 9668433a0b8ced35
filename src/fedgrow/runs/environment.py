"""What a run ran on: versions and machine, without names of hosts, users or folders."""

import os
import platform
from importlib.metadata import version
from typing import Any

PACKAGES = ("fedgrow", "torch", "transformers", "flwr", "numpy", "safetensors", "tokenizers", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return the environment record."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads_per_participant": 1,
        "packages": {name: version(name) for name in PACKAGES},
    }
