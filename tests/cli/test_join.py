"""``fedgrow join``: what it tells of a plan, what it shows of words from the network, and how its question ends."""

import io
import sys

import click
import pytest
from safetensors.torch import load_file, save_file

from fedgrow.cli.join import told
from fedgrow.cli.progress import printable
from fedgrow.config.load import load_plan
from fedgrow.config.text import read_yaml, write_yaml
from fedgrow.exchange.wire import from_bytes, to_bytes
from fedgrow.federated.resolve import resolve
from fedgrow.runs.folder import digest_of
from fedgrow.sites.coordination import plan_text
from fedgrow.sites.join import Join
from tests.cli.running import Run, refused
from tests.sites.asking import message, shown, site
from tests.sites.making import write_all


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ca.crt").write_text("x")
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    return tmp_path


def test_the_key_is_made_before_the_coordinators_certificate_is_there(folder, run):
    (folder / "ca.crt").unlink()
    made = [run("join", str(folder / "ada.yaml"), "--key") for _ in range(2)]
    assert [outcome.code for outcome in made] == [0, 0]
    assert made[0].stdout == made[1].stdout != ""
    joined = run("join", str(folder / "ada.yaml"))
    assert joined.code == 1
    assert "is no file; ask the coordinator for its coordinator/certificates/ca.crt" in " ".join(
        joined.stderr.split()
    )


@pytest.mark.parametrize(
    "where", ["ca.crt", "ca.crt/below", "x" * 300], ids=["a file", "below a file", "too long"]
)
def test_a_folder_that_cannot_be_made_is_named(folder, run, where):
    settings = read_yaml((folder / "ada.yaml").read_text())
    (folder / "ada.yaml").write_text(write_yaml(settings | {"folder": where}))
    for more in (["--key"], []):
        outcome = run("join", str(folder / "ada.yaml"), *more)
        assert outcome.code == 1
        assert f"folder: {folder / where} cannot be made" in "".join(outcome.stderr.split("\n"))


def test_all_steps_and_all_that_leaves_are_told(folder):
    schedule = "{kind: two-phase, rounds: 1200, steps: 21, local_steps: 1000000, finetune_steps: 3000}"
    changes = ["prepare.steps=6000", "metrics=[accuracy]", "compression.kind=int8", f"schedule={schedule}"]
    text = told(resolve(load_plan(folder / "plan.yaml", changes)), "5c7e")
    assert "1,200 rounds of 21 steps; two-phase schedule" in text
    assert "6,000 steps on the small model" in text
    assert "1,000,000 before the first round, 3,000 after the last" in text
    assert "its number of training examples; its training loss; of its held-out examples: accuracy" in text
    chosen = read_yaml(text.partition("all settings that are not the default:\n")[2])
    assert chosen["operator"] == {"rank": 2}
    assert chosen["training"] == {"batch_size": 8}
    plain = told(resolve(load_plan(folder / "plan.yaml")), "5c7e")
    assert "0 before the first round, 0 after the last" in plain


def test_what_is_told_makes_no_arrays(folder, monkeypatch):
    plan = resolve(load_plan(folder / "plan.yaml"))
    monkeypatch.setattr("fedgrow.growth.Operator.initial", lambda *_: pytest.fail("made"))
    assert "arrays of" in told(plan, "5c7e")


def test_characters_that_move_the_cursor_are_not_shown():
    assert printable("a\x1b[2K\x07\n  b\r\u202eé") == "a�[2K�\n  b��é"


def test_a_group_that_is_no_round_is_not_shown(folder):
    said = []
    one = Join.__new__(Join)
    one.tell, one.folder = said.append, folder
    one.site = type("Site", (), {"reply": lambda self, asked: asked})()
    for group in ("3", "0\x1b[2J\nfinished", "the plan was approved by all", ""):
        asked = message("train.grow")
        asked.metadata.__dict__["_group_id"] = group
        one._reply(from_bytes(to_bytes(asked)))
    assert said == [f"asked: train.grow, round {round_}" for round_ in ("3", "-", "-", "-")]


@pytest.mark.parametrize("how", [KeyboardInterrupt, EOFError])
def test_an_interrupted_question_ends_the_site(folder, run: Run, monkeypatch, how):
    def interrupted(_):
        raise how

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(click.termui, "visible_prompt_func", interrupted)
    monkeypatch.setattr("fedgrow.cli.progress.signal.signal", lambda *_: None)
    monkeypatch.setattr(Join, "_carry_out", lambda self: self.site.reply(shown(folder)))
    ended = run("join", folder / "ada.yaml")
    assert ended.code == 130
    assert "interrupted; go on with: fedgrow join" in ended.stderr


def test_a_folder_that_cannot_be_made_is_refused(folder, run):
    (folder / "site-ada").write_text("mine")
    outcome = run("join", str(folder / "ada.yaml"))
    assert outcome.code == 1
    assert "site-ada cannot be made" in " ".join(outcome.stderr.split())


def checked(run, folder, **changes):
    settings = read_yaml((folder / "ada.yaml").read_text())
    (folder / "ada.yaml").write_text(write_yaml(settings | changes))
    return run("join", folder / "ada.yaml", "--check", folder / "plan.yaml")


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_plan_is_checked_before_there_is_a_coordinator(folder, run):
    (folder / "ca.crt").unlink()
    before = files(folder)
    outcome = checked(run, folder)
    digest = digest_of(plan_text(resolve(load_plan(folder / "plan.yaml"))))
    assert outcome.code == 0
    assert outcome.words.startswith(f"plan 'tiny' ({digest}): image-classification, vit, to 3x24 2 heads")
    assert "45 examples to train on, 15 held out; its small model (1x8 2 heads" in outcome.words
    assert "as it came: loss " in outcome.words
    assert outcome.words.endswith(f"`plan: {digest}` in the site's file approves it")
    assert files(folder) == before


@pytest.mark.parametrize(
    ("changes", "code", "why"),
    [
        ({"limits": {"rounds": 2}}, 3, "would be refused: the plan has 3 rounds; limits.rounds allows 2"),
        ({"limits": {"megabytes": 0.001}}, 3, "would be refused: limits.megabytes"),
        ({"limits": {"metrics": ["loss"]}}, 3, "limits.metrics does not allow accuracy"),
        ({"plan": "0" * 64}, 3, f"the site's file pins {'0' * 64}"),
        ({"name": "dan"}, 3, "the plan has no participant dan"),
        ({"data": {"source": "ada.npz", "image": "pictures", "label": "labels"}}, 1, "pictures"),
        (
            {"data": {"source": "ada.npz", "image": "images", "label": "labels", "limit": 1}},
            1,
            "a shard of 1",
        ),
        ({"model": "model-none"}, 1, "model-none"),
    ],
)
def test_what_does_not_fit_is_said_when_it_is_checked(folder, run, changes, code, why):
    outcome = checked(run, folder, **changes)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert why in " ".join(outcome.stderr.split())
    assert not (folder / "site-ada").exists()


def test_a_plan_that_was_approved_is_checked_as_that(folder, run):
    one = site(folder)
    one.answer(shown(folder))
    assert checked(run, folder).code == 0
    assert checked(run, folder, limits={"rounds": 2}).code == 3
    assert checked(run, folder, limits={}, prepare={"steps": 7}).code == 3  # changed since it was approved


def test_a_model_with_values_that_are_not_finite_is_found(folder, run):
    weights = folder / "model-ada" / "model.safetensors"
    tensors = load_file(weights)
    tensors["vit.layernorm.weight"][0] = float("nan")
    save_file(tensors, weights, {"format": "pt"})
    refused(checked(run, folder), "vit.layernorm.weight holds values that are not finite")
