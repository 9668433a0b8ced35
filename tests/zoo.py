"""A tiny model with random weights for every family and head of the tables, and inputs for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from fedgrow.architectures import Family, Shape, families
from fedgrow.architectures.configuration import config_values, possible_ffn
from fedgrow.architectures.models import new_model

VOCAB, POSITIONS, LABELS, IMAGE, PATCH = 19, 12, 3, 8, 4
EMBEDDING = 37  # a width that no stream here has: one that has it needs no projection, and is another table's
TEXT = {
    "vocab_size": VOCAB,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PIXELS = {"image_size": IMAGE, "patch_size": PATCH}
# What a family needs beside its shape; epsilon is large, so that a wrong factor shows.
SETTINGS: dict[str, dict[str, Any]] = {
    "vit": PIXELS,
    "deit": PIXELS,
    "dinov2": PIXELS,
    "dinov2-swiglu": PIXELS | {"use_swiglu_ffn": True},
    "gpt2": {
        "vocab_size": VOCAB,
        "n_positions": POSITIONS,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "electra": TEXT | {"embedding_size": EMBEDDING},
    "electra-wide": TEXT,
    "opt-post": TEXT | {"word_embed_proj_dim": EMBEDDING, "do_layer_norm_before": False},
    "t5": {"vocab_size": VOCAB, "feed_forward_proj": "relu", "decoder_start_token_id": 0},
    "t5-gated": {"vocab_size": VOCAB, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0},
    "gpt_neox": TEXT
    | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
}
NAMES = [(name, head) for name, family in families().items() for head in (None, *family.heads)]
RMS_NORMS = (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, Qwen3RMSNorm, T5LayerNorm)


def small_shape(
    family: Family,
    *,
    layers: int = 2,
    heads: int = 2,
    head_size: int = 4,
    ffn: int | None = None,
    **sizes: Any,
) -> Shape:
    """Return a small shape that a family can have: groups of heads and free head sizes where there are any."""
    width = sizes.pop("width", heads * head_size)
    if "decoder_layers" in family.config:
        sizes.setdefault("decoder_layers", layers)
    ffn = possible_ffn(family, width, ffn or 12)
    return Shape(layers=layers, width=width, heads=heads, head_size=head_size, ffn=ffn, **sizes)


def config(family: Family, shape: Shape, *, labels: int = LABELS, **overrides: Any) -> Any:
    """Return the configuration of a tiny model; norms' epsilon is large enough for a wrong factor to show."""
    eps = {family.config["norm_eps"]: 1e-3} if "norm_eps" in family.config else {}
    settings = {"num_labels": labels} | SETTINGS.get(family.family, TEXT) | config_values(family, shape) | eps
    return transformers.AutoConfig.for_model(family.model_type, **settings | overrides)


def model(
    family: Family,
    head: str | None,
    shape: Shape,
    *,
    seed: int = 0,
    std: float = 0.3,
    gain: float = 0.0,
    dtype: torch.dtype = torch.float64,
    **overrides: Any,
) -> Any:
    """Return a tiny model whose parameters are all drawn at random, gains and biases too.

    Args:
        family: its family.
        head: its head; None for a bare body.
        shape: its shape.
        seed: seed of its weights.
        std: standard deviation of every parameter.
        gain: mean of the norms' gains.
        dtype: type of its weights.
        overrides: fields of its configuration.
    """
    overrides.setdefault("labels", 2 if head == "question-answering" else LABELS)
    built: Any = new_model(config(family, shape, **overrides), head, seed=seed).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype) * std)
        for module in built.modules():
            if isinstance(module, (nn.LayerNorm, *RMS_NORMS)):
                module.weight += gain
    return built


def inputs(family: Family, head: str | None, *, batch: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Return random inputs for a tiny model: padded text, or images."""
    generator = torch.Generator().manual_seed(seed)
    if "embeddings.cls_token" in family.body:
        return {"pixel_values": torch.randn(batch, 3, IMAGE, IMAGE, generator=generator, dtype=torch.float64)}
    ids = torch.randint(3, VOCAB, (batch, POSITIONS - 2), generator=generator)
    mask = torch.ones_like(ids)
    if "decoder_layers" not in family.config:
        ids[0, -3:], mask[0, -3:] = 0, 0
        return {"input_ids": ids, "attention_mask": mask}
    ids[:, -1] = 1  # the end, which T5's classifier reads
    stacks = family.heads[head].stacks if head else None
    decoder = {"decoder_input_ids": ids} if stacks is None and head != "sequence-classification" else {}
    return {"input_ids": ids, "attention_mask": mask} | decoder


def outputs(built: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run a model with a head, or return the last hidden states of a bare body."""
    with torch.no_grad():
        out = built(**batch)
    for name in ("logits", "start_logits", "last_hidden_state"):
        if name in out and name == "start_logits":
            return torch.stack([out.start_logits, out.end_logits])
        if name in out:
            return out[name]
    raise AssertionError(f"no output in {list(out)}")


@contextmanager
def norms_in_float64() -> Iterator[None]:
    """Let transformers' RMS norms and embedding scales compute in float64 (they cast to float32)."""

    def rms(self: Any, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def gemma(self: Any, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1.0 + self.weight)

    with patch.object(GemmaRMSNorm, "forward", gemma):
        patches = [patch.object(norm, "forward", rms) for norm in RMS_NORMS]
        for p in patches:
            p.start()
        try:
            yield
        finally:
            for p in patches:
                p.stop()


def exact_embedding_scale(built: nn.Module) -> None:
    """Give a Gemma its embedding scale in float64."""
    for module in built.modules():
        if hasattr(module, "embed_scale"):
            module.embed_scale = torch.tensor(built.config.hidden_size**0.5, dtype=torch.float64)
