"""The environment record: versions and machine, and nothing of whose machine it is."""

import getpass
import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from fedgrow.disk import environment as module
from fedgrow.disk.environment import environment, this_fedgrow


def test_versions_are_recorded():
    packages = environment()["packages"]
    assert packages["torch"] == torch.__version__
    assert set(packages) >= {"fedgrow", "transformers", "flwr", "numpy"}
    assert packages["fedgrow"] == this_fedgrow()


def test_the_codes_digest_is_that_of_the_files(tmp_path, monkeypatch):
    package = tmp_path / "fedgrow"
    (package / "runs").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "runs" / "environment.py"))
    found = []
    for text in ("a = 1", "a = 2", "a = 1"):
        (package / "a.py").write_text(text)
        found.append(this_fedgrow.__wrapped__())
    assert found[0].startswith(f"{version('fedgrow')}+")
    assert found[0] == found[2] != found[1]


def test_it_names_neither_host_nor_user_nor_folder():
    text = json.dumps(environment())
    assert [
        word for word in (platform.node(), str(Path.home()), str(Path.cwd())) if word and word in text
    ] == []
    assert f'"{getpass.getuser()}"' not in text
