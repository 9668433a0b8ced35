"""Help, version and wrong use."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fedgrow
from fedgrow.approaches import BASELINES
from fedgrow.federated.simulate import ENGINES

COMMANDS = ["demo", "families", "grow", "inspect", "simulate"]


def test_the_help_lists_every_command(run):
    outcome = run("--help")
    assert outcome.code == 0
    assert [c for c in COMMANDS if c not in outcome.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(run, command, flag):
    outcome = run(command, flag)
    assert outcome.code == 0
    assert f"Usage: fedgrow {command}" in outcome.words


def test_the_help_of_simulate_says_where_a_run_goes(run):
    words = run("simulate", "--help").words
    assert "runs/<plan>-<date and time>" in words


def test_the_help_of_simulate_names_every_baseline_and_engine(run):
    words = run("simulate", "--help").words
    assert [name for name in (*BASELINES, *ENGINES) if name not in words] == []


def test_without_a_command_help_is_shown(run):
    assert "Usage: fedgrow" in run().words


def test_the_version(run):
    outcome = run("--version")
    assert outcome.code == 0
    assert re.fullmatch(rf"fedgrow {re.escape(fedgrow.__version__)}\+[0-9a-f]{{8}}\n", outcome.stdout)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["inspect"], ["demo", "--seed", "-1"], ["simulate", "--nope"]]
)
def test_wrong_use_ends_with_code_2(run, arguments):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "Usage: fedgrow" in outcome.stderr


def test_the_installed_script_ends_errors_the_same_way(tmp_path):
    script = Path(sys.executable).with_name("fedgrow")
    ended = subprocess.run(
        [script, "simulate", tmp_path / "gone.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "gone.yaml': no such file" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_takes_long_to_import_is_imported_where_it_is_used():
    modules = (
        "fedgrow.sites.status, fedgrow.sites.join, fedgrow.sites.coordinator, fedgrow.federated.simulate"
    )
    slow = ("sklearn", "seqeval", "transformers.processing_utils")
    code = f"import sys, {modules}; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
