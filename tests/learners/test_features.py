"""Features are what the classifier reads before any dropout of its head, in every family that classifies."""

import pytest
import torch

from fedgrow.architectures import families, read
from fedgrow.architectures.outputs import tensor_of
from fedgrow.errors import ArchitectureError
from fedgrow.learners.features import TASKS, classifier_of, with_features
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
    assert not any(module._forward_pre_hooks for module in model.modules())


def heard(module: torch.nn.Module) -> list[torch.Tensor]:
    """Return a list that whatever the module reads from now on is put into."""
    seen: list[torch.Tensor] = []
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


# The path of each head's own dropout, and how often the head uses it; heads of other families have none.
DROPOUTS = {
    "bert": ("dropout", 1),
    "distilbert": ("dropout", 1),
    "roberta": ("classifier.dropout", 2),
    "electra": ("classifier.dropout", 2),
    "electra-wide": ("classifier.dropout", 2),
    "t5": ("classification_head.dropout", 2),
    "t5-gated": ("classification_head.dropout", 2),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_in_training_features_are_what_the_heads_dropout_reads(name):
    family, head = families()[name], "sequence-classification"
    model = zoo.model(family, head, zoo.small_shape(family)).train()
    path, uses = DROPOUTS[name]
    dropout = model.get_submodule(path)
    dropout.p = 0.5
    classifier = classifier_of(model, read(model)).path
    before, after = heard(dropout), heard(model.get_submodule(classifier))
    inputs = zoo.inputs(family, head)
    torch.manual_seed(0)
    _, feature = with_features(model, classifier, lambda: tensor_of(model(**inputs)), inputs)
    assert (len(before), len(after)) == (uses, 1)
    assert torch.equal(feature, before[-1])
    assert not torch.equal(feature, after[0])
    assert torch.equal(after[0][after[0] != 0], 2 * feature[after[0] != 0])  # what is not dropped is doubled


@pytest.mark.parametrize("name", ["bert-mlm", "vit-body"])
def test_a_model_without_a_classifier_has_no_features(name):
    model = tiny.model(name, zoo.small_shape(tiny.family(name)))
    with pytest.raises(ArchitectureError, match="no linear map to labels"):
        classifier_of(model, read(model))
