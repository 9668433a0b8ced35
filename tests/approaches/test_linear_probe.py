"""The linear probe: on the features of the model as it came, better than chance, and never trained."""

import shutil

from fedgrow.approaches import APPROACHES
from fedgrow.approaches.linear_probe import as_it_came
from fedgrow.architectures.models import load_model
from fedgrow.federated.resolve import resolve
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder
from tests.federation import tiny_plan

DATA = {"source": "bundled:digits", "limit": 300, "test_fraction": 0.4}


def site(path, **changes) -> Participant:
    plan = tiny_plan(**{"data": DATA, "prepare": {"steps": 30}} | changes)
    made = Participant(RunFolder.create(path, resolve(plan), "local").path, 2)
    made.prepare()
    return made


def test_it_is_better_than_chance(tmp_path):
    made = site(tmp_path / "run")
    ended = APPROACHES["linear-probe"].run(made)
    assert ended.metrics["accuracy"] > 0.3  # ten classes
    assert ended.trained == 10 * (12 + 1)
    assert ended.curve == []
    assert len(ended.flops) == 1  # features of the training examples
    assert ended.flops[0] > 0


def test_a_model_that_came_is_probed_as_it_came(tmp_path):
    made = site(tmp_path / "first")
    assert as_it_came(made) is made.small_model  # made in the run: the prepared one
    folder = tmp_path / "model"
    shutil.copytree(made.small_folder, folder)
    people = [{"name": n, "model": str(folder)} for n in ("ada", "bob", "cyd")]
    other = site(tmp_path / "second", participants=people, family=None, model_settings={})
    came, expected = as_it_came(other).state_dict(), load_model(folder, "image-classification")[0]
    assert all((came[n] == t).all() for n, t in expected.state_dict().items())
    assert any((came[n] != t).any() for n, t in other.small_model.state_dict().items())


def test_one_class_is_its_own_answer(tmp_path):
    made = site(tmp_path / "run")
    made.train_data.targets.fill_(3)
    ended = APPROACHES["linear-probe"].run(made)
    assert ended.trained == 0
    share = float((made.test_data.targets == 3).double().mean())
    assert ended.metrics["accuracy"] == share
