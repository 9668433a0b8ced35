"""The form in which tensors grow: gains whole, factors folded, and stored again as the family does."""

import pytest
import torch

from fedgrow.architectures import families, read
from fedgrow.growth import Stage, grow, stack
from tests import zoo
from tests.growth.growing import started

PLAIN = [name for name, family in families().items() if not family.gain_offset and not family.scaled_by]


def made(name):
    family = families()[name]
    small = zoo.model(family, next(iter(family.heads)), zoo.small_shape(family))
    return small, read(small)


@pytest.mark.parametrize("name", PLAIN)
def test_most_families_are_only_stacked(name):
    small, reading = made(name)
    tensors, stacked = small.state_dict(), stack(reading, small.state_dict())
    assert stacked.keys() == {spec.name for spec in reading.specs}
    for spec in reading.specs:
        layers = stacked[spec.name] if spec.in_block else stacked[spec.name][None]
        assert all(
            torch.equal(layer, tensors[full])
            for layer, full in zip(layers, spec.names(reading.shape), strict=True)
        )


@pytest.mark.parametrize("name", [*PLAIN, "gemma"])
def test_growing_to_the_same_shape_gives_the_stored_tensors_back(name):
    small, reading = made(name)
    same = started(Stage(reading.family, reading.shape, reading.shape), "fixed")
    grown = grow(reading, stack(reading, small.state_dict()), [same])
    for full, tensor in small.state_dict().items():
        torch.testing.assert_close(grown[full], tensor, rtol=1e-12, atol=1e-12)


def test_gemmas_gains_are_made_whole():
    small, reading = made("gemma")
    tensors, stacked = small.state_dict(), stack(reading, small.state_dict())
    for norm in ("input_layernorm", "post_attention_layernorm"):
        expected = torch.stack([tensors[f"model.layers.{i}.{norm}.weight"] for i in range(2)]) + 1
        assert torch.equal(stacked[f"model.layers.{{layer}}.{norm}.weight"], expected)
    assert torch.equal(stacked["model.norm.weight"], tensors["model.norm.weight"] + 1)
    assert torch.equal(stacked["model.embed_tokens.weight"], tensors["model.embed_tokens.weight"])


SCALED = {
    "dinov2": {"attention.o_proj": "layer_scale1", "mlp.fc2": "layer_scale2"},
    "dinov2-swiglu": {"attention.o_proj": "layer_scale1", "mlp.down_proj": "layer_scale2"},
}


@pytest.mark.parametrize("name", SCALED)
def test_layer_scales_are_folded_into_what_they_multiply(name):
    small, reading = made(name)
    tensors, stacked = small.state_dict(), stack(reading, small.state_dict())
    for projection, scale in SCALED[name].items():
        for i in range(2):
            layer = f"dinov2.encoder.layer.{i}."
            factor = tensors[f"{layer}{scale}.lambda1"]
            block = "dinov2.encoder.layer.{layer}." + projection
            assert torch.equal(
                stacked[f"{block}.weight"][i], tensors[f"{layer}{projection}.weight"] * factor[:, None]
            )
            assert torch.equal(stacked[f"{block}.bias"][i], tensors[f"{layer}{projection}.bias"] * factor)


@pytest.mark.parametrize("name", SCALED)
def test_layer_scales_of_the_grown_model_are_one(name):
    small, reading = made(name)
    target = reading.shape.model_copy(update={"layers": 3, "width": 16, "heads": 4, "kv_heads": 4, "ffn": 16})
    tied = started(Stage(reading.family, reading.shape, target), "tied")
    grown = grow(reading, stack(reading, small.state_dict()), [tied])
    scales = {full: tensor for full, tensor in grown.items() if full.endswith("lambda1")}
    assert len(scales) == 2 * 3
    assert all(torch.equal(scale, torch.ones(16, dtype=scale.dtype)) for scale in scales.values())


@pytest.mark.parametrize("name", SCALED)
def test_every_other_tensor_of_a_scaled_family_is_only_stacked(name):
    small, reading = made(name)
    tensors, stacked = small.state_dict(), stack(reading, small.state_dict())
    others = [
        s for s in reading.specs if s.key not in reading.family.scaled_by and "scale.gain" not in s.axes
    ]
    assert len(others) == len(reading.specs) - 4 - 2
    for spec in others:
        layers = stacked[spec.name] if spec.in_block else stacked[spec.name][None]
        assert torch.equal(layers, torch.stack([tensors[full] for full in spec.names(reading.shape)]))
