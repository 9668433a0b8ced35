"""Settings that scale attention by the layer's number, or not at all, are folded into the queries and switched off."""

import pytest

import fedgrow
from fedgrow.architectures import Shape, families, read
from tests import zoo
from tests.folders.making import CAUSAL
from tests.growth.growing import LEARNED, grown, share_of_difference

BY_LAYER = {"scale_attn_by_inverse_layer_idx": True}
UNSCALED = {"scale_attn_weights": False}
SETTINGS = [BY_LAYER, UNSCALED, BY_LAYER | UNSCALED]
LARGE = Shape(layers=5, width=12, heads=3, ffn=20)
DEEP = Shape(layers=5, width=8, heads=2, ffn=12)


def gpt2(settings):
    family = families()["gpt2"]
    return zoo.model(family, CAUSAL, zoo.small_shape(family), std=0.6, **settings)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("targets", [[DEEP], [LARGE], [Shape(layers=3, width=8, heads=2, ffn=16), LARGE]])
def test_growth_keeps_the_function(settings, kind, targets):
    small = gpt2(settings)
    large = grown(small, targets, [kind] * len(targets))
    assert large.config.scale_attn_by_inverse_layer_idx is False
    assert large.config.scale_attn_weights is True
    assert share_of_difference(small, large, families()["gpt2"], CAUSAL) < 1e-9


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_setting_matters(settings):
    small, plain = gpt2(settings), gpt2({})
    assert share_of_difference(small, plain, families()["gpt2"], CAUSAL) > 1e-3


def test_other_families_fold_nothing():
    for name, family in families().items():
        small = zoo.model(family, None, zoo.small_shape(family))
        assert read(small).folds == (), name


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_folder_grows_alike(tmp_path, settings):
    gpt2(settings).float().save_pretrained(tmp_path / "small")
    report = fedgrow.grow(tmp_path / "small", {"layers": 5, "width": 12, "heads": 3}, out=tmp_path / "large")
    assert report["streamed"]
    assert report["parity"]["folder"]["max_abs"] < 1e-4
    assert report["parity"]["folder"]["logits_max_abs"] > 1e-2
