"""The common grown model computes what the small one computes, and participants begin with all of it that fits them."""

import pandas as pd
import pytest
import torch

from fedgrow.approaches.common_model import Common, own_config, source_of
from fedgrow.architectures import Shape, families
from fedgrow.architectures.configuration import new_config
from fedgrow.architectures.models import new_model
from fedgrow.federated.carry_out import prepared_sites
from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import forget
from fedgrow.learners import WholeModel
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder
from fedgrow.seeds import INIT, derive
from fedgrow.tasks.models import load_for
from tests.approaches.federating import begin, sites
from tests.e2e.test_shipped_plans import WORDS, tiny_bert
from tests.federation import tiny_plan

NAME = "fedavg-grown"
BERT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
GLOSSES = {
    "task": "sequence-classification",
    "family": "bert",
    "model_settings": {},
    "large": {"layers": 3, "width": 32, "heads": 4, "ffn": 32},
    "intermediate": "auto",
    "prepare": {"steps": 5, "learning_rate": 0.01},
}
LANGUAGE = {
    "task": "causal-language-modelling",
    "family": "gpt2",
    "model_settings": {},
    "vocabulary": {"size": 300},
    "training": {"batch_size": 8, "max_length": 8},
}


def texts(path, labels=("x", "y", "z")):
    rows = [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(3, 14)) for i in range(90)]
    pd.DataFrame({"text": rows, "label": [labels[i % len(labels)] for i in range(90)]}).to_parquet(path)
    return str(path)


def common_of(run: RunFolder) -> Common:
    return Common.load(run.approach(NAME) / "common", run.plan.task)


def quality(site: Participant, model: torch.nn.Module) -> dict[str, float]:
    learner = WholeModel(model, 1e-3)
    return site.evaluate(learner, {}, learner.private_start())


def close(found: dict[str, float], expected: dict[str, float]) -> bool:
    return all(found[name] == pytest.approx(value, rel=1e-4) for name, value in expected.items())


def test_without_a_public_model_it_computes_what_the_first_readied_model_computes(tmp_path):
    run = begin(tmp_path / "run", NAME)
    first = sites(run, NAME)[0]
    assert close(quality(first, common_of(run).model), first.prepared["metrics"])


def test_copies_of_a_unit_can_part(tmp_path):
    """Where a unit is copied exactly, in what it reads and what it writes, training never tells its copies apart."""
    model = common_of(begin(tmp_path / "run", NAME)).model
    for name, weight in model.state_dict().items():
        if name.endswith(("fc1.weight", "intermediate.dense.weight")):
            assert len(torch.unique(weight, dim=0)) == len(weight)


def test_a_head_readied_on_one_participants_classes_is_nobodys_start(tmp_path):
    run = begin(tmp_path / "run", NAME)
    common = common_of(run)
    heads = [common.own(site).classifier.weight for site in sites(run, NAME)]
    assert all(torch.equal(head, heads[0]) for head in heads)
    assert not torch.equal(heads[0], common.model.classifier.weight)


@pytest.mark.parametrize("which", [0, 1])
def test_the_largest_public_model_is_taken_as_it_came(tmp_path, which):
    one = str(tiny_bert(tmp_path / "one", **BERT))
    two = str(tiny_bert(tmp_path / "two", **BERT | {"num_hidden_layers": 2}))
    entries = [{"name": "ada", "model": one}, {"name": "bob", "model": one}]
    entries[which]["model"] = two
    data = {"source": texts(tmp_path / "texts.parquet")}
    run = begin(tmp_path / "run", NAME, data=data, participants=entries, **GLOSSES)
    people = sites(run, NAME)
    theirs = people[which]
    small, _ = load_for(two, theirs.task, theirs.codec, seed=derive(run.plan.seed, INIT, which))
    found = quality(theirs, common_of(run).model)
    assert close(found, quality(theirs, small))
    assert not close(found, theirs.prepared["metrics"])


def test_of_equal_public_models_the_first_is_taken(tmp_path):
    """Whatever number of labels its participant has."""
    public = str(tiny_bert(tmp_path / "m", **BERT))
    few, many = texts(tmp_path / "few.parquet", ("x", "y")), texts(tmp_path / "many.parquet")
    people = [
        {"name": n, "model": public, "data": {"source": data}} for n, data in (("ada", few), ("bob", many))
    ]
    run = begin(tmp_path / "run", NAME, data=None, participants=people, **GLOSSES)
    assert source_of(sites(run, NAME)).name == "ada"


def test_labels_of_its_own_take_a_fresh_head_over_the_common_body(tmp_path):
    run = begin(tmp_path / "run", NAME, partition={"kind": "dirichlet", "alpha": 0.3, "min_examples": 10},
                data={"source": "bundled:digits", "limit": 120, "test_fraction": 0.4})  # fmt: skip
    common, people = common_of(run), sites(run, NAME)
    other = next(s for s in people if list(s.codec.labels) != list(people[0].codec.labels))
    own, theirs = common.own(other).state_dict(), common.model.state_dict()
    assert len(own["classifier.weight"]) == len(other.codec.labels)
    assert all(torch.equal(own[name], theirs[name]) for name in common.names)


def test_vocabularies_of_their_own_stay_and_the_rest_is_common(tmp_path):
    run = begin(tmp_path / "run", NAME, data={"source": texts(tmp_path / "t.parquet")}, **LANGUAGE)
    common, people = common_of(run), sites(run, NAME)
    assert people[0].codec.vocabulary_digest() != people[1].codec.vocabulary_digest()
    for site in people:
        shared, private = site.learner.shared_start(), site.learner.private_start()
        assert set(shared) == set(common.names)
        assert list(private) == ["transformer.wte.weight"]
    assert close(quality(people[0], common.own(people[0])), people[0].prepared["metrics"])


def test_one_vocabulary_is_shared(tmp_path):
    public = str(tiny_bert(tmp_path / "m", **BERT))
    people = [
        {"name": n, "model": {"layers": 1, "width": 8, "heads": 2, "ffn": 8}, "tokenizer": public}
        for n in ("ada", "bob")
    ]
    source = {"source": texts(tmp_path / "t.parquet")}
    training = {"batch_size": 8, "max_length": 8}
    settings = LANGUAGE | {"data": source, "participants": people, "training": training}
    run = begin(tmp_path / "run", NAME, **settings)
    assert "transformer.wte.weight" in common_of(run).names
    for site in sites(run, NAME):
        assert site.learner.private_start() == {}


def test_arithmetic_is_counted_with_each_participants_own_words(tmp_path):
    """Of models of one shape: what their heads read words by differs in size."""
    data = []
    for name, words in (("few", WORDS[:2]), ("many", WORDS)):
        rows = [" ".join(words[(i * k + k) % len(words)] for k in range(3, 14)) for i in range(90)]
        pd.DataFrame({"text": rows}).to_parquet(tmp_path / f"{name}.parquet")
        data.append({"source": str(tmp_path / f"{name}.parquet"), "test_fraction": 0.4})
    shape = {"layers": 1, "width": 8, "heads": 2, "ffn": 8}
    entries = [{"name": f"p{i}", "model": shape, "data": one} for i, one in enumerate(data)]
    plan = tiny_plan(**LANGUAGE | {"participants": entries, "data": None, "vocabulary": {"size": 400}})
    forget()
    run = RunFolder.create(tmp_path / "run", resolve(plan), "local")
    few, many = prepared_sites(run)
    assert len(few.codec.tokenizer) < len(many.codec.tokenizer)
    together = [site.training_flops(site.learner, "joint", 4, 1) for site in (few, many)]
    forget()
    alone = many.training_flops(many.learner, "joint", 4, 1)
    assert together[0] < together[1] == alone


@pytest.mark.parametrize(("name", "rows"), [("bert", 16), ("roberta", 18)])
def test_a_common_model_takes_as_long_texts_under_another_padding_token(name, rows):
    """RoBERTa numbers positions from the one after the padding token's id."""
    shape = Shape(layers=1, width=8, heads=2, ffn=8)
    common, other = (
        new_config(
            families()[name], shape, {"vocab_size": 30, "max_position_embeddings": 16, "pad_token_id": pad}
        )
        for pad in (0, 1)
    )
    config = own_config(new_model(common, None, seed=0), other, words=True)
    assert (config.pad_token_id, config.max_position_embeddings) == (1, rows)
    assert new_model(config, None, seed=0)(torch.full((1, 16), 5)).last_hidden_state.shape == (1, 16, 8)
