"""The environment record: versions and machine, and nothing of whose machine it is."""

import getpass
import json
import platform
from pathlib import Path

import torch

from fedgrow.runs.environment import environment


def test_versions_are_recorded():
    packages = environment()["packages"]
    assert packages["torch"] == torch.__version__
    assert set(packages) >= {"fedgrow", "transformers", "flwr", "numpy"}


def test_it_names_neither_host_nor_user_nor_folder():
    text = json.dumps(environment())
    assert [
        word for word in (platform.node(), str(Path.home()), str(Path.cwd())) if word and word in text
    ] == []
    assert f'"{getpass.getuser()}"' not in text
