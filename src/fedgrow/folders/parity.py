"""The parity receipt of a grown folder: both models run by transformers on the same random inputs."""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures.configuration import image_sides
from fedgrow.architectures.models import empty_model, load_model
from fedgrow.architectures.outputs import tensor_of
from fedgrow.folders.source import SmallModel

EXAMPLES, LENGTH = 4, 16
FAILURES = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a forward pass


def random_inputs(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return seeded inputs for any supported model: token ids (for the decoder, too), or images in float64."""
    config: Any = model.config
    generator = torch.Generator().manual_seed(seed)
    if getattr(model, "main_input_name", "input_ids") == "pixel_values":
        sides = image_sides(config.image_size)
        pixels = torch.randn(EXAMPLES, config.num_channels, *sides, generator=generator, dtype=torch.float64)
        return {"pixel_values": pixels}
    positions = getattr(config, "max_position_embeddings", None) or LENGTH + 4
    length = max(1, min(LENGTH, positions - 4))  # some families number positions from the padding id on
    ids = torch.randint(config.vocab_size, (EXAMPLES, length), generator=generator)
    ends = _token_ids(config, "eos")
    special = torch.tensor([*_token_ids(config, "pad"), *ends], dtype=torch.long)
    ids[torch.isin(ids, special)] = next((i for i in range(config.vocab_size) if i not in special), 0)
    if ends and config.is_encoder_decoder:
        ids[:, -1] = ends[0]  # sequence classifiers of encoder-decoders read the end
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "decoder_input_ids" in inspect.signature(model.forward).parameters:
        inputs["decoder_input_ids"] = ids
    return inputs


def _token_ids(config: Any, kind: str) -> list[int]:
    """Return a configuration's token ids of a kind: none, one or several."""
    found = getattr(config, f"{kind}_token_id", None)
    if found is None:
        return []
    return [found] if isinstance(found, int) else list(found)


@torch.no_grad()
def outputs(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return a model's logits, or a bare body's last hidden states.

    Examples come one by one: classifiers of decoders that have no padding token take no more.
    """
    model.eval()
    batches = ({name: x[i : i + 1] for name, x in inputs.items()} for i in range(EXAMPLES))
    return torch.cat([tensor_of(model(**batch)) for batch in batches])


def in_float64(small: SmallModel) -> nn.Module:
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
