"""The parity receipt of a grown folder: both models run by transformers on the same random inputs."""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures.models import empty_model, load_model
from fedgrow.architectures.outputs import tensor_of
from fedgrow.folders.source import Small
from fedgrow.growth.parity import Parity, compare

EXAMPLES, LENGTH = 4, 16


def random_inputs(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return seeded inputs for any supported model: token ids (for the decoder, too), or images in float64."""
    config: Any = model.config
    generator = torch.Generator().manual_seed(seed)
    if getattr(model, "main_input_name", "input_ids") == "pixel_values":
        side = config.image_size if isinstance(config.image_size, int) else config.image_size[0]
        pixels = torch.randn(
            EXAMPLES, config.num_channels, side, side, generator=generator, dtype=torch.float64
        )
        return {"pixel_values": pixels}
    positions = getattr(config, "max_position_embeddings", None) or LENGTH + 4
    size = (
        EXAMPLES,
        max(1, min(LENGTH, positions - 4)),
    )  # some families number positions from the padding id on
    ids = torch.randint(config.vocab_size, size, generator=generator)
    special = {getattr(config, f"{kind}_token_id", None) for kind in ("pad", "eos")}
    ordinary = [i for i in range(min(config.vocab_size, 8)) if i not in special]
    for token in special:
        if isinstance(token, int):
            ids[ids == token] = ordinary[0] if ordinary else 0
    if isinstance(config.eos_token_id, int) and config.is_encoder_decoder:
        ids[:, -1] = config.eos_token_id  # sequence classifiers of encoder-decoders read the end
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "decoder_input_ids" in inspect.signature(model.forward).parameters:
        inputs["decoder_input_ids"] = ids
    return inputs


@torch.no_grad()
def outputs(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return a model's logits, or a bare body's last hidden states."""
    return tensor_of(model.eval()(**inputs))


def compare_models(small: nn.Module, grown: nn.Module, declared: str, seed: int) -> Parity:
    """Compare two models, both in float64."""
    inputs = random_inputs(small, seed)
    return compare(outputs(small, inputs), outputs(grown, inputs), EXAMPLES, declared)


def in_float64(small: Small) -> nn.Module:
    """Return a small model in float64; buffers are made anew, for those of a loaded half-precision model are rounded."""
    head = small.reading.head
    if small.model is None:
        assert small.folder is not None
        return load_in_float64(small.folder, head)
    model = copy.deepcopy(small.model).double()
    for name, buffer in empty_model(small.config, head).named_buffers():
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, buffer)
    return model


def load_in_float64(folder: Path, head: str | None) -> nn.Module:
    """Load a folder in float64."""
    return load_model(folder, head)[0].double()
