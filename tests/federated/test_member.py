"""A participant's data: what is held out is held out from everything."""

import pandas as pd
import pytest

from fedgrow.federated.member import Member
from fedgrow.federated.resolve import resolve
from fedgrow.runs.folder import RunFolder, shard_of
from fedgrow.tasks.tokenizers import digest, learn
from fedgrow.training.flops import counted, forget_counts
from tests.federation import PLAN, tiny_plan

SETTINGS = {
    "task": "causal-language-modelling",
    "family": "gpt2",
    "model_settings": {},
    "vocabulary": {"size": 400},
    "training": {"max_length": 8},
}


@pytest.fixture
def site(tmp_path) -> Member:
    texts = [
        f"the {a} {b} went to the {b} with number {i}"
        for i in range(40)
        for a, b in [("cat", f"w{i}x"), ("dog", f"q{i}z")]
    ]
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "texts.parquet")
    plan = tiny_plan(**SETTINGS, data={"source": str(tmp_path / "texts.parquet"), "text": "text"})
    RunFolder.create(tmp_path / "run", resolve(plan), "local")
    return Member(tmp_path / "run", 0)


def test_the_tokenizer_is_learned_from_training_texts_only(site):
    train, test = site.raw_data
    assert site.codec.vocabulary_digest() == digest(learn(train.texts, 400))
    assert site.codec.vocabulary_digest() != digest(learn([*train.texts, *test.texts], 400))


def test_training_and_held_out_examples_are_disjoint_and_make_up_the_shard(site):
    train, test = site.raw_data
    shard = shard_of(site.plan, site.run.partition.shards, site.name)
    assert sorted([*train.texts, *test.texts]) == sorted(shard.texts)
    assert not set(train.texts) & set(test.texts)


def test_a_step_is_counted_anew_for_texts_of_other_lengths(tmp_path):
    """Participants share a count only where their steps are alike; the longest text of a batch decides."""
    tails = {"ada": 2, "bob": 9, "cyd": 9}
    people = []
    for name, most in tails.items():
        rows = [{"text": " ".join(["word"] * (1 + i % most)), "label": "ab"[i % 2]} for i in range(40)]
        pd.DataFrame(rows).to_parquet(tmp_path / f"{name}.parquet")
        own = {
            "source": str(tmp_path / f"{name}.parquet"),
            "text": "text",
            "label": "label",
            "test_fraction": 0.4,
        }
        people.append(PLAN["participants"][0] | {"name": name, "data": own})
    plan = tiny_plan(
        **SETTINGS
        | {
            "task": "sequence-classification",
            "family": "bert",
            "training": {"batch_size": 2, "max_length": 32},
        },
        data=None,
        participants=people,
    )
    RunFolder.create(tmp_path / "run", resolve(plan), "local")
    shared = []
    for together in (True, False):
        forget_counts()
        for index in range(len(tails)):
            site = Member(tmp_path / "run", index)
            shared.append(site.training_flops(site.learner, "joint", 4, 1))
            if not together:
                forget_counts()
    assert shared[:3] == shared[3:]
    assert shared[0] < shared[1]


def test_the_arithmetic_of_a_training_is_that_of_its_own_batches(tmp_path):
    """Of batches of many sizes, of which few are counted."""
    rows = [{"text": " ".join(["word"] * (1 + i * i % 31)), "label": "ab"[i % 2]} for i in range(120)]
    pd.DataFrame(rows).to_parquet(tmp_path / "texts.parquet")
    settings = SETTINGS | {
        "task": "sequence-classification",
        "family": "bert",
        "training": {"batch_size": 4, "max_length": 32},
    }
    plan = tiny_plan(**settings, data={"source": str(tmp_path / "texts.parquet")})
    RunFolder.create(tmp_path / "run", resolve(plan), "local")
    site = Member(tmp_path / "run", 0)
    start = site.learner.shared_start(), site.learner.private_start()
    found = site.training_flops(site.learner, "joint", 60, 1)
    assert found == counted(lambda: site.fit(site.learner, *start, "joint", 60, 1))


def test_a_plan_without_own_data_gives_every_row_to_one_participant(site):
    shards = [set(rows) for rows in site.run.partition.shards.values()]
    assert len(shards) == len(PLAN["participants"])
    assert sum(map(len, shards)) == len(set.union(*shards)) == 80
