"""Small model folders as they come from elsewhere, and their grown ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import GenerationConfig

from fedgrow.architectures import families
from fedgrow.architectures.configuration import save_config
from fedgrow.architectures.models import quiet
from tests import zoo

CAUSAL = "causal-language-modelling"
EXACT = 5e-5  # float32 weights; "up to epsilon" at the tests' large epsilon comes to as much


def saved(
    folder: Path,
    name: str,
    head: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    shard: str | int = "1GB",
    shape: dict[str, Any] | None = None,
    **overrides: Any,
) -> Path:
    """Save a tiny random model as transformers does."""
    family = families()[name]
    groups = {"kv_heads": 1} if "kv_heads" in family.config else {}
    small = zoo.model(
        family, head, zoo.small_shape(family, **groups | (shape or {})), dtype=dtype, **overrides
    )
    small.config.dtype = dtype
    with quiet():
        small.save_pretrained(folder, max_shard_size=shard)
        small.config.architectures = [type(small).__name__]
        save_config(family, small.config, folder)
    return folder


def edited(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """Change the tensors of a folder."""
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file(
        {n: t.clone().contiguous() for n, t in change(tensors).items()}, file, metadata={"format": "pt"}
    )
    return folder


def with_config(folder: Path, **values: Any) -> Path:
    """Change the configuration of a folder."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def with_companions(folder: Path) -> Path:
    """Put a tokenizer and other files beside the weights."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "grow": 2, "larger": 3}, "[UNK]"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder
    )
    GenerationConfig(max_new_tokens=7).save_pretrained(folder)
    (folder / "tekken.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "LICENSE").write_text("terms")
    for name in ("modeling_x.py", "training_args.bin", "optimizer.pt"):
        (folder / name).write_text("left behind")
    return folder


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether two models hold the same values, bit for bit, in the same types; buffers that are not stored, too."""
    a, b = (model.state_dict() | dict(model.named_buffers()) for model in (first, second))
    return a.keys() == b.keys() and all(x.dtype == b[n].dtype and torch.equal(x, b[n]) for n, x in a.items())


def plain(folder, auto):
    """Load a folder as any user does, in the type that it is stored in, nothing missing or left over."""
    model, info = getattr(transformers, auto).from_pretrained(folder, output_loading_info=True)
    assert [info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")] == [set()] * 3
    return model
