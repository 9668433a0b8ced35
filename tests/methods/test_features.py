"""Features are what the classifier reads, in every family that classifies."""

import pytest
import torch

from fedgrow.architectures import families, read
from fedgrow.architectures.outputs import tensor_of
from fedgrow.errors import ArchitectureError
from fedgrow.methods.features import TASKS, classifier_of, with_features
from tests import tiny, zoo


@pytest.mark.parametrize(("name", "head"), [n for n in zoo.NAMES if n[1] in TASKS])
def test_the_logits_are_the_classifier_of_the_feature(name, head):
    family = families()[name]
    model = zoo.model(family, head, zoo.small_shape(family))
    found = classifier_of(model, read(model))
    inputs = zoo.inputs(family, head)
    with torch.no_grad():
        logits, feature = with_features(model, found.path, lambda: tensor_of(model(**inputs)), inputs)
        assert feature.shape == (len(logits), found.width)
        assert torch.allclose(model.get_submodule(found.path)(feature), logits, atol=1e-9)
    assert not model.get_submodule(found.path)._forward_pre_hooks


@pytest.mark.parametrize("name", ["bert-mlm", "vit-body"])
def test_a_model_without_a_classifier_has_no_features(name):
    model = tiny.model(name, zoo.small_shape(tiny.family(name)))
    with pytest.raises(ArchitectureError, match="no linear map to labels"):
        classifier_of(model, read(model))
