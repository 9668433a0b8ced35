"""Hugging Face models in and out: load one with a task's head, build an empty one."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig
from transformers.initialization import no_init_weights

from fedgrow.architectures.registry import family_of
from fedgrow.architectures.table import Family
from fedgrow.errors import ArchitectureError, FedgrowError, first_line

CANNOT_BE_MADE = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    StrictDataclassError,
)
"""What transformers raises where a configuration makes no model."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block whose random draws (new heads, dropout) depend on this seed alone, and leave no trace."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def hub_id_of(name: str | Path) -> str | None:
    """Return a model's name if it is a hub id, None for what lies here or is none."""
    try:
        validate_repo_id(str(name))
    except HFValidationError:
        return None
    return None if Path(name).exists() else str(name)


def load_config(folder: str | Path) -> Any:
    """Load the configuration of a local folder or hub id.

    Raises:
        FedgrowError: there is no such folder or hub id, or its configuration cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        if not Path(folder).exists() and hub_id_of(folder) is None:
            reason = "there is no such folder"
        raise FedgrowError(
            f"model {str(folder)!r}: no Hugging Face folder or reachable hub id ({reason}); "
            "give a folder that holds config.json and model.safetensors, or a hub id while online"
        ) from None
    except CANNOT_BE_MADE as error:
        raise FedgrowError(
            f"model {str(folder)!r}: its configuration makes no model ({_reason(error)}); correct config.json"
        ) from None


def load_model(
    folder: str | Path, head: str | None, *, seed: int = 0, **overrides: Any
) -> tuple[nn.Module, list[str]]:
    """Load a model in float32 with a task's head (None: the bare body).

    Parts that the folder does not have (a head, a pooler) start at random from ``seed``.

    Args:
        folder: local folder or hub id.
        head: name of the head in the family's table.
        seed: seed of newly made parts.
        overrides: configuration values, such as ``id2label``.

    Returns:
        The model, and the names of newly made tensors.

    Raises:
        FedgrowError: the folder cannot be loaded, or a tensor in it is unknown to the table, missing or of
            another size than the configuration says (named).
    """
    config = load_config(folder)
    family = family_of(config)
    if head is not None and head not in family.heads:
        raise FedgrowError(
            f"model {str(folder)!r}: {family.family} has no head for {head}; it has {', '.join(family.heads)}"
        )
    maker = getattr(transformers, family.heads[head].architecture if head else "AutoModel")
    try:
        with seeded(seed), quiet():
            model, info = maker.from_pretrained(
                folder,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # checked below, by name
                **overrides,
            )
    except (OSError, SafetensorError, *CANNOT_BE_MADE) as error:
        raise FedgrowError(f"model {str(folder)!r} cannot be loaded: {_reason(error)}") from None
    _check_loading(folder, family, head, info)
    return model.eval(), sorted(info["missing_keys"])


def _reason(error: Exception) -> str:
    """Return the first line of what an error says; a key that is missing says too little alone."""
    line = first_line(error)
    return f"nothing is known as {line}" if isinstance(error, KeyError) else line


def _check_loading(folder: str | Path, family: Family, head: str | None, info: dict[str, Any]) -> None:
    """Refuse tensors that transformers would drop in silence and body tensors that it would make up."""
    private = {s.name for h in (None, *family.heads) for s in family.specs(h) if s.part != "body"}
    private |= {family.prefix_of(head) + name for name in (*family.pooler, *family.optional)}
    for name, found, expected in sorted(info["mismatched_keys"]):
        one = (
            " (one output is for regression, which no task learns)"
            if found[0] == 1 and name in private
            else ""
        )
        raise ArchitectureError(
            f"model {str(folder)!r}: tensor {name} has shape {tuple(found)}{one}, but the configuration "
            f"and the task ask for {tuple(expected)}; correct config.json, or start from a model without it"
        )
    for name in sorted(info["unexpected_keys"]):
        if name not in private and not any(fnmatch(name, pattern) for pattern in family.unused):
            raise ArchitectureError(
                f"model {str(folder)!r}: the table of {family.family} does not know tensor {name}; "
                "growing without it would change the model, so it is refused"
            )
    for name in sorted(info["missing_keys"]):
        if name not in private:
            raise ArchitectureError(f"model {str(folder)!r}: tensor {name} is missing")


def new_model(config: Any, head: str | None, *, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Build a model from a configuration with freshly drawn weights."""
    with seeded(seed), quiet():
        return _built(config, head, dtype)


def empty_model(config: Any, head: str | None) -> nn.Module:
    """Build a model whose parameters have shapes but no memory (buffers are real), for functional calls."""
    with no_init_weights(), quiet():
        model = _built(config, head, torch.float32)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            meta = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
            setattr(module, name, meta)
    return model


def meta_model(config: Any, head: str | None) -> nn.Module:
    """Build a model without any memory, tied as its configuration says, to be asked for names and sizes.

    Raises:
        FedgrowError: the configuration makes no model.
    """
    try:
        with no_init_weights(), quiet(), torch.device("meta"):
            model = _built(config, head, torch.float32)
    except CANNOT_BE_MADE as error:
        raise FedgrowError(
            f"the configuration makes no model ({_reason(error)}); correct config.json"
        ) from None
    model.tie_weights()
    return model


def count(model: nn.Module) -> int:
    """Count a model's parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters())


def name_at_loading(model: nn.Module) -> Callable[[str], str]:
    """Return what transformers calls a stored tensor once it is in this model: files of older versions have other names.

    Names alone are followed; where transformers would also reshape or join tensors, names stay as they are.
    """
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key

        known: Any = model
        renamings = [t for t in get_model_conversion_mapping(known) if isinstance(t, WeightRenaming)]
        state = known.state_dict()
        rename_source_key("weight", renamings, [], known.base_model_prefix, state)
    except (ImportError, TypeError):  # a release of transformers that does this in another way
        return lambda name: name
    return lambda name: rename_source_key(name, renamings, [], known.base_model_prefix, state)[0]


def unfilled_model(config: Any, head: str | None, dtype: torch.dtype) -> nn.Module:
    """Build a model whose parameters have memory but no values yet (buffers have)."""
    with no_init_weights(), quiet():
        model = _built(config, head, dtype)
        model.tie_weights()
    return model


def _built(config: Any, head: str | None, dtype: torch.dtype) -> Any:
    """Build a model in a type as transformers loads it: a later cast would round rotary frequencies, too."""
    config, settings = copy.deepcopy(config), {"dtype": dtype, "attn_implementation": "sdpa"}
    if head is None:
        model = transformers.AutoModel.from_config(config, **settings)
    else:
        name = family_of(config).heads[head].architecture
        config.architectures = [name]
        model = getattr(transformers, name)._from_config(config, **settings)
    if dtype == torch.float16:  # what float16 would overflow in (T5)
        for path, module in model.named_modules():
            if path.rpartition(".")[2] in (model._keep_in_fp32_modules or ()):
                module.float()
    return model.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from logging about parts that we make or drop on purpose; errors still raise."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
