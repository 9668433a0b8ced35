"""What the README shows runs as it is printed (its first two commands are run by the CI gate itself)."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"(?<!-->\n)^```(bash|python)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_command_and_every_snippet_runs(tmp_path):
    assert [kind for kind, _ in BLOCKS] == ["bash", "python"]
    for kind, text in BLOCKS:
        if kind == "python":
            assert "accuracy" in run([sys.executable, "-c", text], tmp_path)
        else:
            for line in text.strip().splitlines():
                run(shlex.split(line), tmp_path)
    assert (tmp_path / "runs" / "digits" / "summary.json").is_file()
