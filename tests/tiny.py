"""Tiny models with random weights and inputs for them, one pair of builders per family."""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from fedgrow.architectures import Shape

VOCAB, POSITIONS, LABELS, IMAGE, PATCH = 19, 12, 3, 8, 4

CLASSES = {
    "bert": transformers.BertForSequenceClassification,
    "bert-mlm": transformers.BertForMaskedLM,
    "bert-body": transformers.BertModel,
    "vit": transformers.ViTForImageClassification,
    "vit-body": transformers.ViTModel,
    "gpt2": transformers.GPT2LMHeadModel,
    "gpt2-classify": transformers.GPT2ForSequenceClassification,
    "gpt2-body": transformers.GPT2Model,
}
WITH_HEAD = tuple(name for name in CLASSES if not name.endswith("-body"))


def config(name: str, shape: Shape, **overrides: Any) -> Any:
    """Return the configuration of a tiny model, by its name in ``CLASSES``."""
    return _CONFIGS[name.partition("-")[0]](shape, overrides)


def model(
    name: str,
    shape: Shape,
    *,
    seed: int = 0,
    std: float = 0.5,
    gain: float = 0.0,
    dtype: torch.dtype = torch.float64,
    **overrides: Any,
) -> Any:
    """Return a tiny model whose parameters are all drawn from a normal distribution.

    Args:
        name: one of ``CLASSES``.
        shape: its shape.
        seed: seed of its weights.
        std: standard deviation of every parameter.
        gain: mean of the norms' gains.
        dtype: type of its weights.
        overrides: fields of its configuration.
    """
    with torch.random.fork_rng(devices=[]):
        built = CLASSES[name](config(name, shape, **overrides)).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype) * std)
        for module in built.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight += gain
    return built


def inputs(
    name: str, *, batch: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Return random inputs for a tiny model: padded text, or images."""
    generator = torch.Generator().manual_seed(seed)
    if name.startswith("vit"):
        return {"pixel_values": torch.randn(batch, 3, IMAGE, IMAGE, generator=generator, dtype=dtype)}
    ids = torch.randint(1, VOCAB, (batch, POSITIONS - 2), generator=generator)
    mask = torch.ones_like(ids)
    ids[0, -3:], mask[0, -3:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def logits(built: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run a model with a head, or return the last hidden states of a bare body."""
    with torch.no_grad():
        out = built(**batch)
    return out.logits if "logits" in out else out.last_hidden_state


def _bert(shape: Shape, overrides: dict[str, Any]) -> Any:
    fields = {
        "vocab_size": VOCAB,
        "max_position_embeddings": POSITIONS,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "num_labels": LABELS,
    }
    return transformers.BertConfig(**fields | overrides)


def _vit(shape: Shape, overrides: dict[str, Any]) -> Any:
    fields = {
        "image_size": IMAGE,
        "patch_size": PATCH,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "num_labels": LABELS,
    }
    return transformers.ViTConfig(**fields | overrides)


def _gpt2(shape: Shape, overrides: dict[str, Any]) -> Any:
    fields = {
        "vocab_size": VOCAB,
        "n_positions": POSITIONS,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.ffn,
        "num_labels": LABELS,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return transformers.GPT2Config(**fields | overrides)


_CONFIGS: dict[str, Callable[[Shape, dict[str, Any]], Any]] = {"bert": _bert, "vit": _vit, "gpt2": _gpt2}
