"""A small model to grow, its tensors read one by one: from a folder's files where their names allow, else from memory."""

import copy
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from fedgrow.architectures import Family, Reading, family_of, read
from fedgrow.architectures.models import hub_id_of, load_config, load_model, meta_model, name_at_loading
from fedgrow.architectures.reader import class_name, read_tensors, unknown_head
from fedgrow.errors import ArchitectureError, FedgrowError, first_line
from fedgrow.folders.companions import COMPANIONS
from fedgrow.folders.shards import STORED
from fedgrow.growth.stream import Tensors

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
WANTED = ("config.json", INDEX, SINGLE, "model-*-of-*.safetensors", *COMPANIONS)


@dataclass(frozen=True)
class SmallModel:
    """A small model: its configuration, what it is, its tensors, and the folder that they came from, if any.

    Attributes:
        config: its configuration.
        reading: what the table says about it.
        tensors: its tensors.
        dtype: the type that most of them are stored in.
        name: its folder or hub id, for the model card.
        hub_id: its hub id, if it came from there.
        folder: the local folder, if there is one.
        model: the loaded model, if that is what it is.
        streamed: whether its tensors are read from its files one by one.
    """

    config: Any
    reading: Reading
    tensors: Tensors
    dtype: torch.dtype
    name: str
    hub_id: str | None = None
    folder: Path | None = None
    model: nn.Module | None = None
    streamed: bool = False

    def generation(self) -> GenerationConfig | None:
        """Return a copy of its settings of generation, if it has any."""
        if self.folder is None:
            return copy.deepcopy(getattr(self.model, "generation_config", None))
        try:
            return GenerationConfig.from_pretrained(self.folder)
        except OSError:
            return None


@dataclass(frozen=True)
class StoredAt:
    """Where a stored tensor is: file, name in the file, size and type."""

    file: Path
    name: str
    size: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class InFiles:
    """Tensors in safetensors files, by the name that their class gives them.

    A file is opened anew for each tensor, so that mapped pages do not add up.
    """

    places: Mapping[str, StoredAt]

    def size(self, name: str) -> tuple[int, ...]:
        """Return the size of a tensor."""
        return self.places[name].size

    def dtype(self, name: str) -> torch.dtype:
        """Return the type that a tensor is stored in."""
        return self.places[name].dtype

    def get(self, name: str) -> Tensor:
        """Read a tensor."""
        place = self.places[name]
        with safe_open(place.file, "pt") as opened:
            return opened.get_tensor(place.name)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Read a few rows of a tensor."""
        place = self.places[name]
        with safe_open(place.file, "pt") as opened:
            return opened.get_slice(place.name)[start:stop]


@dataclass(frozen=True)
class InMemory:
    """Tensors of a model in memory; ``stored`` is the type to store them in, if not their own."""

    state: Mapping[str, Tensor]
    stored: torch.dtype | None = None

    def size(self, name: str) -> tuple[int, ...]:
        """Return the size of a tensor."""
        return tuple(self.state[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        """Return the type to store a tensor in."""
        return self.stored or self.state[name].dtype

    def get(self, name: str) -> Tensor:
        """Return a tensor."""
        return self.state[name].detach()

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Return a few rows of a tensor."""
        return self.get(name)[start:stop]


def small_model(model: nn.Module) -> SmallModel:
    """Take a loaded transformers model.

    Raises:
        ArchitectureError: it is none, or its table does not know it as it is.
    """
    if not isinstance(model, PreTrainedModel):
        raise ArchitectureError(
            f"{type(model).__name__} is no model of transformers; give a folder, a hub id, or a loaded model without "
            "what is wrapped around it"
        )
    config: Any = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    reading, state = read(model), model.state_dict()
    if reading.tied_head:
        config.tie_word_embeddings = True  # it may say otherwise
    dtype = _most_common((t.dtype, t.numel()) for t in state.values())
    origin = getattr(config, "_name_or_path", "")
    shown = _shown(origin or type(model).__name__)
    return SmallModel(config, reading, InMemory(state), dtype, shown, hub_id_of(origin), model=model)


def open_small(name: str | Path) -> SmallModel:
    """Open a local folder or hub id with the head that its configuration names, or else its tensors tell.

    Raises:
        FedgrowError: there is no such model, its files cannot be read, its head has no table, or a tensor is unknown,
            missing or of another size than its configuration says (named).
    """
    config = load_config(name)
    family = family_of(config)
    folder = _local(name)
    shown = _shown(name)
    inside = _inside(folder)
    head = _head(shown, family, config, inside)
    config.architectures = [class_name(family, config, head)]
    dtype = _most_common((p.dtype, torch.Size(p.size).numel()) for p in inside.values())
    matched = _matched(meta_model(config, head), inside)
    if matched is not None:
        reading, places = matched
        return SmallModel(
            config, reading, InFiles(places), dtype, shown, hub_id_of(name), folder, streamed=True
        )
    model, made = load_model(folder, head)
    reading = read(model)
    _refuse_made_up(name, reading, made)
    kept = tuple(s for s in reading.specs if s.names(reading.shape)[0] not in made)
    state = {n: t.detach() for n, t in model.state_dict().items()}
    tensors = InMemory(state, dtype)
    return SmallModel(config, replace(reading, specs=kept), tensors, dtype, shown, hub_id_of(name), folder)


def head_named(family: Family, config: Any) -> str | None:
    """Return the head in the table that a configuration names, None for a bare body or a head without a table."""
    named = config.architectures or ()
    return next((head for head, entry in family.heads.items() if entry.architecture in named), None)


def _head(shown: str, family: Family, config: Any, inside: Mapping[str, StoredAt]) -> str | None:
    """Return the head that a configuration names; where it names no class, the only one that has all the stored tensors.

    Raises:
        ArchitectureError: the class has no table, or it cannot be told.
    """
    if named := config.architectures:
        head = head_named(family, config)
        if head is None and class_name(family, config, None) not in named:
            raise unknown_head(family, config, ", ".join(named))
        return head
    heads = (None, *family.heads)
    counts = {head: _count(config, head, inside) for head in heads}
    fitting = [head for head, count in counts.items() if count and count == max(counts.values())]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(class_name(family, config, head) for head in fitting or heads)
    raise ArchitectureError(
        f"model {shown!r}: its config.json names no class, and {'several have' if fitting else 'none has just'} these "
        f'tensors; write the one that it was saved from there, as "architectures": ["..."], one of: {names}'
    )


def _count(config: Any, head: str | None, inside: Mapping[str, StoredAt]) -> int:
    """Return how many of the stored tensors a class reads; 0 where they are not its own."""
    try:
        matched = _matched(meta_model(config, head), inside)
    except FedgrowError:  # a head that these settings do not allow
        return 0
    return len(matched[1]) if matched else 0


def _shown(name: str | Path) -> str:
    """Return what a model card calls a model: a hub id, or a folder without its path on this machine."""
    return Path(name).resolve().name if Path(name).is_dir() else str(name)


def _local(name: str | Path) -> Path:
    """Return a folder, or the local copy of a hub id (fetched if need be)."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=list(WANTED)))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise FedgrowError(
            f"model {str(name)!r}: its files cannot be fetched from the hub ({first_line(error)})"
        ) from None


def _inside(folder: Path) -> dict[str, StoredAt]:
    """Return where every stored tensor is, by its stored name.

    Raises:
        FedgrowError: a file is missing or cannot be read, or a tensor has a type that does not grow.
    """
    try:
        if (folder / INDEX).is_file() and not (folder / SINGLE).is_file():
            wanted: Mapping[str, str] = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"]
            names = sorted(set(wanted.values()))
        else:
            names = [SINGLE]
        found = {}
        for file in (folder / name for name in names):
            if not file.is_file():
                raise FedgrowError(
                    f"model {str(folder)!r}: there is no {file.name}; only safetensors are read"
                )
            with safe_open(file, "pt") as opened:
                for key in opened.keys():  # noqa: SIM118, it is no mapping
                    part = opened.get_slice(key)
                    dtype = _type(folder, key, part.get_dtype())
                    found[key] = StoredAt(file, key, tuple(part.get_shape()), dtype)
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise FedgrowError(f"model {str(folder)!r} cannot be read: {error}") from None
    return found


def _type(folder: Path, name: str, dtype: str) -> torch.dtype:
    if dtype in STORED:
        return STORED[dtype]
    if dtype.startswith(("I", "U", "BOOL")):
        return torch.int64  # buffers such as position ids, which are never grown
    raise FedgrowError(
        f"model {str(folder)!r}: tensor {name} is stored as {dtype}; growth needs one of {', '.join(STORED)}"
    )


def _matched(meta: nn.Module, inside: Mapping[str, StoredAt]) -> tuple[Reading, dict[str, StoredAt]] | None:
    """Return what a model is and its stored tensors under the names that its class gives them.

    Names may be those of older versions; bodies are stored with or without the prefix of a class with a head; a pooler may
    be missing. A tied tensor that is stored with other values than its source is not tied, as transformers has it.

    Returns:
        None if transformers has to sort names or tensors out.
    """
    reading, renamed = read(meta), name_at_loading(meta)
    family, head = reading.family, reading.head
    sizes = {name: tuple(tensor.shape) for name, tensor in meta.state_dict().items()}
    prefix, other = family.prefix_of(head), f"{family.prefix}." if family.prefix else ""
    places: dict[str, StoredAt] = {}
    for stored, place in inside.items():
        bare = stored.removeprefix(other) if head is None else stored
        name = next((n for n in (stored, prefix + stored, bare, renamed(stored)) if n in sizes), None)
        if name is None and _is_unused(family, stored, place):
            continue
        if name is None or name in places or place.size != sizes[name]:
            return None
        places[name] = place
    files, apart = InFiles(places), set()
    for name in [name for name in reading.tied if name in places]:
        if (source := reading.tied[name]) not in places:
            places[source] = places[name]
        elif not torch.equal(files.get(name), files.get(source)):
            apart.add(name)
    if apart:
        ties = reading.tied.keys() - apart
        reading = read_tensors(meta.config, family, head, sizes, ties, what=type(meta).__name__)
    absent = [s for s in reading.specs if any(name not in places for name in s.names(reading.shape))]
    if any(spec.part != "pooler" for spec in absent):
        return None
    return replace(reading, specs=tuple(s for s in reading.specs if s not in absent)), places


def _is_unused(family: Family, stored: str, place: StoredAt) -> bool:
    """Whether a tensor that the class does not have may be left out, as transformers does: a pooler, a known buffer."""
    buffer = place.dtype == torch.int64 and stored.endswith("position_ids")
    pooler = stored.removeprefix(f"{family.prefix}.") in family.pooler
    return buffer or pooler or any(fnmatch(stored, pattern) for pattern in family.unused)


def _refuse_made_up(name: str | Path, reading: Reading, made: list[str]) -> None:
    """Refuse a model whose head transformers had to make up: growing noise is no growth."""
    for spec in reading.specs:
        lacking = [n for n in spec.names(reading.shape) if n in made]
        if lacking and not reading.family.may_be_absent(spec):
            raise FedgrowError(
                f"model {str(name)!r}: tensor {lacking[0]} of {spec.part} is missing from its files; "
                "train the head first, or name the bare body in config.json (architectures)"
            )


def _most_common(found: Any) -> torch.dtype:
    counts: Counter[torch.dtype] = Counter()
    for dtype, count in found:
        counts[dtype] += count if dtype.is_floating_point else 0
    return counts.most_common(1)[0][0] if counts else torch.float32
