"""``fedgrow.grow``: any supported model in, a larger one out, in memory or as a folder written tensor by tensor."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import nn

from fedgrow.architectures.configuration import save_config
from fedgrow.architectures.models import load_config, new_model, quiet, unfilled_model
from fedgrow.cards.grown import grown_card
from fedgrow.disk.atomic import write_folder, write_json
from fedgrow.errors import FedgrowError
from fedgrow.folders import shards
from fedgrow.folders.companions import GENERATION, copy_companions
from fedgrow.folders.parity import (
    EXAMPLES,
    FAILURES,
    in_float64,
    load_in_float64,
    outputs,
    random_inputs,
)
from fedgrow.folders.place import RECEIPT, check_place
from fedgrow.folders.source import InMemory, SmallModel, open_small, small_model
from fedgrow.growth.composed import Applied
from fedgrow.growth.initialisers import INITIALISERS
from fedgrow.growth.operators.drawn import Drawn
from fedgrow.growth.parity import compare
from fedgrow.growth.stage import Stage
from fedgrow.growth.stream import Planned, Stream, in_type, planned
from fedgrow.growth.target import Target, complete

ParityMode = Literal["auto", "full", "off"]
MAX_SHARD = 5 * 10**9
AUTO_PARITY = 2 * 10**9  # bytes of both models in float64
SEEDS = range(2**62)
Progress = Callable[[int], None]


@dataclass(frozen=True)
class GrowthPlan:
    """What is to be grown, from what and how; nothing is computed yet.

    Attributes:
        small: the small model.
        operator: the growth, with its method and seed.
        config: the grown model's configuration.
        tensors: the grown model's tensors.
    """

    small: SmallModel
    operator: Drawn
    config: Any
    tensors: list[Planned]

    @property
    def bytes(self) -> int:
        """Size of the grown weights as they are stored."""
        return sum(plan.bytes for plan in self.tensors)

    @property
    def parameters(self) -> tuple[int, int]:
        """Parameters of the small and the grown model."""
        small, reading = self.small.tensors, self.small.reading
        names = (name for spec in reading.specs for name in spec.names(reading.shape))
        before = sum(torch.Size(small.size(name)).numel() for name in names)
        return before, sum(torch.Size(plan.size).numel() for plan in self.tensors)

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        stage, initialiser = self.operator.stage, self.operator.initialiser
        before, after = self.parameters
        return {
            "parent": self.small.name,
            "base_model": self.small.hub_id,
            "family": stage.family.family,
            "head": self.small.reading.head,
            "method": {"name": initialiser.name, "source": initialiser.source},
            "seed": self.operator.seed,
            "shape": {"small": stage.source.model_dump(), "grown": stage.target.model_dump()},
            "parameters": {"small": before, "grown": after},
            "declared": initialiser.declared(stage),
            "dtype": str(self.small.dtype).removeprefix("torch."),
            "bytes": self.bytes,
            "streamed": self.small.streamed,
        }

    def check_out(self, out: Path, overwrite: bool) -> None:
        """Refuse a folder that the grown model cannot be written to.

        Raises:
            FedgrowError: see ``check_place``.
        """
        check_place(out, small=self.small.folder, overwrite=overwrite, needed=self.bytes)

    def stream(self) -> Stream:
        """Return the growth, ready to make tensors."""
        types = [plan.dtype for plan in self.tensors]
        dtype = torch.float64 if torch.float64 in types else torch.float32
        applied = Applied(self.operator, self.operator.initial(dtype))
        return Stream(self.small.reading, self.small.tensors, applied, dtype)

    def model(self) -> nn.Module:
        """Grow in memory, and return an ordinary transformers model."""
        head, stream = self.small.reading.head, self.stream()
        model: Any = unfilled_model(self.config, head, self.small.dtype)
        if set(model.state_dict()) - {plan.name for plan in self.tensors} - set(self.small.reading.tied):
            # a pooler that the small model's files lack: it starts at random, as transformers has it
            model = new_model(self.config, head, seed=self.operator.seed, dtype=self.small.dtype)
        if model.can_generate() and (settings := self.small.generation()) is not None:
            model.generation_config = settings
        for plan in self.tensors:
            if plan.spec.tied_to:  # not tied in this model, whatever its configuration says
                module, _, leaf = plan.name.rpartition(".")
                own = nn.Parameter(model.get_parameter(plan.name).detach().clone())
                setattr(model.get_submodule(module), leaf, own)
        state = model.state_dict()
        with torch.no_grad():
            for plan in self.tensors:
                row = 0
                for piece in stream.pieces(plan):
                    state[plan.name][row : row + len(piece)] = piece
                    row += len(piece)
        return model


def plan_growth(
    model: str | Path | nn.Module, target: Target, method: str = "exact", *, seed: int = 0
) -> GrowthPlan:
    """Read a small model and complete the target; nothing is grown or written yet.

    Raises:
        FedgrowError: see ``grow``.
    """
    if method not in INITIALISERS:
        raise FedgrowError(f"method {method!r} is unknown; choose from {', '.join(INITIALISERS)}")
    given: object = seed  # Python's own types and numpy's; a range is slow to look for anything else in
    if isinstance(given, bool) or not isinstance(given, Integral) or int(given) not in SEEDS:
        raise FedgrowError(f"seed: {seed!r}; give a whole number from 0 to {SEEDS[-1]}")
    small = small_model(model) if isinstance(model, nn.Module) else open_small(model)
    reading = small.reading
    shape = complete(reading.family, reading.shape, target)
    operator = Drawn(Stage(reading.family, reading.shape, shape), start=method, seed=int(seed))
    config = operator.stage.config(small.config)
    config.dtype = small.dtype
    return GrowthPlan(small, operator, config, planned(reading, small.tensors, shape))


def parity_mode(name: str) -> ParityMode:
    """Return when both models are compared.

    Raises:
        FedgrowError: there is no such choice.
    """
    if name not in get_args(ParityMode):
        raise FedgrowError(f"--parity {name}: choose auto, full or off")
    return cast(ParityMode, name)


def grow(
    model: str | Path | nn.Module,
    target: Target,
    method: str = "exact",
    *,
    out: str | Path | None = None,
    seed: int = 0,
    parity: ParityMode = "auto",
    max_shard_size: int = MAX_SHARD,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Any:
    """Grow a small transformer to a larger one, without training.

    Args:
        model: a local folder, a hub id, or a loaded transformers model.
        target: the larger shape: sizes by name (``{"layers": 12}`` or ``"layers=12,width=768"``; the others stay or
            follow, see ``fedgrow.growth.target.complete``), or a whole ``Shape``.
        method: name of a non-learned growth, such as ``exact`` or ``stack``.
        out: folder to write; new or empty. Without it the grown model is returned.
        seed: seed of what starts at random.
        parity: whether to compare both models: ``auto`` does where both fit into 2 GB in float64.
        max_shard_size: most bytes in one file of weights.
        overwrite: whether to replace a grown model that is there.
        progress: told of bytes as they are written.

    Returns:
        The grown model in the small one's type; with ``out``, what was written, as plain values.

    Raises:
        FedgrowError: the model cannot be read or grown, the target does not fit, or the folder is taken; nothing
            is left behind.
    """
    mode = parity_mode(parity)
    plan = plan_growth(model, target, method, seed=seed)
    if out is None:
        return plan.model()
    return write_grown(
        plan,
        Path(out),
        parity=mode,
        max_shard_size=max_shard_size,
        overwrite=overwrite,
        progress=progress,
    )


def write_grown(
    plan: GrowthPlan,
    out: Path,
    *,
    parity: ParityMode = "auto",
    max_shard_size: int = MAX_SHARD,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a grown model's folder, whole or not at all; return what it is as plain values.

    Raises:
        FedgrowError: the folder is taken, or the disk is too small.
    """
    plan.check_out(out, overwrite)
    report = plan.describe() | {"folder": str(out)}

    def fill(folder: Path) -> None:
        with quiet():
            save_config(plan.operator.stage.family, plan.config, folder)
        stream = plan.stream()
        shards.write(folder, plan.tensors, max_shard_size, stream.pieces, progress or (lambda _: None))
        report["copied"] = _companions(plan.small, folder)
        _check_folder(plan, folder)
        report["parity"] = _receipt(plan, folder, parity)
        write_json(folder / RECEIPT, report["parity"] | {"declared": report["declared"]})
        (folder / "README.md").write_text(grown_card(report), "utf-8")
        report["files"] = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())

    write_folder(out, fill)
    return report


def _companions(small: SmallModel, folder: Path) -> list[str]:
    """Write what goes along with a small model; return the names."""
    if small.folder is not None:
        return copy_companions(small.folder, folder)
    if (settings := small.generation()) is None:
        return []
    settings.to_json_file(folder / GENERATION, keys_to_pop=["compile_config"])
    return [GENERATION]


def _check_folder(plan: GrowthPlan, folder: Path) -> None:
    """Read the written folder back: every tensor under its name, and the same configuration."""
    written = open_small(folder)
    family, config = plan.operator.stage.family, load_config(folder)
    differing = [f for f in family.kept_config if getattr(config, f) != getattr(plan.config, f)]
    same = (written.reading.shape, written.reading.tied) == (
        plan.operator.stage.target,
        plan.small.reading.tied,
    )
    if not (written.streamed and same) or differing:
        raise FedgrowError(
            f"{folder}: the written model reads back as {written.reading.shape} instead of "
            f"{plan.operator.stage.target} (differing fields: {', '.join(differing) or 'none'}); please report this"
        )


def _receipt(plan: GrowthPlan, folder: Path, mode: ParityMode) -> dict[str, Any]:
    """Compare the small model with the grown one, before rounding and as it was written."""
    before, after = plan.parameters
    if mode == "off":
        return {"skipped": "it was switched off"}
    if mode == "auto" and 8 * (before + after) > AUTO_PARITY:
        return {
            "skipped": f"both models take {8 * (before + after) / 1e9:.1f} GB in float64, and more than "
            f"{AUTO_PARITY / 1e9:.0f} GB are compared on request only (--parity full)"
        }
    reading, declared = plan.small.reading, plan.operator.initialiser.declared(plan.operator.stage)
    small = in_float64(plan.small)
    try:
        inputs = random_inputs(small, plan.operator.seed)
        expected = outputs(small, inputs)
    except FAILURES as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return {"skipped": f"the small model does not run on random inputs ({reason})"}
    kind, size = next((name, list(x.shape)) for name, x in inputs.items())
    receipt: dict[str, Any] = {
        "inputs": f"{EXAMPLES} random examples ({kind} {size}, seed {plan.operator.seed})",
        "outputs": "last hidden states, the old entries" if reading.head is None else "logits",
        "dtype": str(plan.small.dtype).removeprefix("torch."),
    }
    exact = replace(
        plan,
        small=replace(plan.small, tensors=InMemory(small.state_dict()), dtype=torch.float64),
        tensors=in_type(plan.tensors, torch.float64),
    )
    for name, make in (("growth", exact.model), ("folder", lambda: load_in_float64(folder, reading.head))):
        grown = make()
        found = compare(expected, outputs(grown, inputs), EXAMPLES, declared)
        if not math.isfinite(found.max_abs):
            raise _not_finite(plan, small, grown)
        result = found.as_dict()
        receipt[name] = {key: result[key] for key in ("max_abs", "mean_abs", "logits_max_abs", "examples")}
    return receipt


def _not_finite(plan: GrowthPlan, small: nn.Module, grown: nn.Module) -> FedgrowError:
    """Return what is to blame for outputs that are not finite."""
    dtype = str(plan.small.dtype).removeprefix("torch.")
    for model, what, mend in (
        (small, f"model {plan.small.name!r}", "give one without them"),
        (grown, f"the grown model in {dtype}", "store the small model in a type with a larger range first"),
    ):
        for name, tensor in model.state_dict().items():
            if not tensor.isfinite().all():
                return FedgrowError(f"{what}: tensor {name} holds values that are not finite; {mend}")
    return FedgrowError(
        f"model {plan.small.name!r}: its outputs on random inputs are not finite, though its weights are; "
        "mend it, or grow it unmeasured with --parity off"
    )
