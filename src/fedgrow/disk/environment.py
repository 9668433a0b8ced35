"""What a run ran on: versions and machine, without names of hosts, users or folders."""

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("fedgrow", "torch", "transformers", "flwr", "numpy", "safetensors", "tokenizers", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return the environment record."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads_per_participant": 1,
        "packages": {name: version(name) for name in PACKAGES} | {"fedgrow": this_fedgrow()},
    }


@cache
def this_fedgrow() -> str:
    """Return fedgrow's version and, behind a plus, a digest of its code.

    The digest is the first eight digits of the SHA-256 of all files of the package, in the order of their names.
    """
    root, whole = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        whole.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return f"{version('fedgrow')}+{whole.hexdigest()[:8]}"
