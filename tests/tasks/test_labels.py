"""Whose labels count: those of the model, else of the plan, else of the shard."""

import pytest
import torch

from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError
from fedgrow.tasks.classification import class_ids, class_labels, label_config
from tests import tiny
from tests.architectures.folders import SHAPE
from tests.tasks.making import codec, entry, images, texts

SHARD = texts("a", "b", "c", labels=["dog", "cat", "dog"])


def named(*labels: str):
    return tiny.config("bert", SHAPE, **label_config(labels))


def test_the_shards_own_labels_in_alphabetical_order():
    assert class_labels(SHARD, None, None) == ["cat", "dog"]


def test_the_plans_closed_list_in_its_own_order():
    assert class_labels(SHARD, ("dog", "cow", "cat"), None) == ["dog", "cow", "cat"]


def test_a_fine_tuned_models_labels_come_first():
    assert class_labels(SHARD, ("dog", "cat"), named("cow", "cat", "dog")) == ["cow", "cat", "dog"]


def test_labels_without_names_do_not_count_as_the_models():
    assert class_labels(SHARD, None, tiny.config("bert", SHAPE)) == ["cat", "dog"]


def test_data_without_labels_is_refused():
    with pytest.raises(FedgrowError, match=r"no label column; name it as data\.label"):
        class_labels(Examples(["a"]), None, None)


def test_ids_follow_the_order_of_the_labels():
    assert class_ids(SHARD, ["dog", "cat"]).tolist() == [0, 1, 0]


def test_an_unknown_label_is_named_with_its_example():
    with pytest.raises(
        FedgrowError, match=r"label 'cat' \(example 1\) is not among the model's labels \['dog'"
    ):
        class_ids(SHARD, ["dog"])


def test_a_codec_takes_the_plans_list_of_the_participants_own_data():
    own = entry(data={"source": "some/data", "labels": ["z", "0", "1", "2"]})
    assert codec("image-classification", images(6), own).labels == ["z", "0", "1", "2"]


def test_a_codec_of_a_fine_tuned_model_refuses_other_labels(tmp_path):
    config = tiny.config("vit", SHAPE, **label_config(["cat", "dog", "cow"]))
    made = codec("image-classification", images(6), entry(tmp_path), config)
    with pytest.raises(FedgrowError, match="label '0'"):
        made.encode(images(6))


def test_one_class_is_a_shard_like_any_other():
    shard = images(4, labels=["7"] * 4)
    made = codec("image-classification", shard, entry())
    assert made.labels == ["7"]
    assert torch.equal(made.encode(shard).targets, torch.zeros(4, dtype=torch.long))
    assert made.config_values()["id2label"] == {0: "7"}
