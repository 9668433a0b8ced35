"""A trained Global-LiGO as a folder: ``operator.safetensors`` and ``config.json``, which says what it grows into what.

Whoever has such a folder can take it into a run of its own (``operator.trained``), as a newcomer to a federation does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fedgrow.architectures import Shape
from fedgrow.config.plan import OperatorPlan, Plan
from fedgrow.disk.atomic import read_json, read_tensors, write_arrays, write_folder, write_json
from fedgrow.errors import FedgrowError

ARRAYS, CONFIG = "operator.safetensors", "config.json"
OF_THE_RUN = (
    "trained",
    "frozen",
    "learning_rate",
)  # settings of an operator that say how it is used, not what it is


def write_operator(folder: Path, plan: Plan, arrays: Mapping[str, np.ndarray], rounds: int) -> None:
    """Write a run's operator, whole or not at all."""
    operator = {k: v for k, v in plan.operator.model_dump(mode="json").items() if k not in OF_THE_RUN}
    config = {
        "family": plan.family,
        "intermediate": plan.model_dump(mode="json")["intermediate"],
        "large": plan.large.model_dump(),
        "operator": operator | {"seed": plan.operator_seed},
        "rounds": rounds,
    }

    def fill(part: Path) -> None:
        write_arrays(part / ARRAYS, arrays)
        write_json(part / CONFIG, config)

    write_folder(folder, fill)


def with_trained(plan: Plan) -> Plan:
    """Return a plan that begins with a trained operator, with what that operator decides: kind, start, seed, shapes.

    Raises:
        FedgrowError: the folder holds no operator, or one of another family or other shapes than the plan's.
    """
    folder = plan.operator.trained
    if folder is None:
        return plan
    config = _config(Path(folder))
    given = {"family": plan.family, "intermediate": plan.intermediate, "large": plan.large}
    for name in ("intermediate", "large"):
        wanted, has = given[name], Shape(**config[name])
        if isinstance(wanted, Shape) and _sizes(wanted) != _sizes(has):
            raise FedgrowError(
                f"operator.trained: {folder} has the {name} shape {has}, the plan says {wanted}; "
                f"leave the plan's {'out (intermediate: auto)' if name == 'intermediate' else 'as the operator has it'}"
            )
    if plan.family not in (None, config["family"]):
        raise FedgrowError(
            f"operator.trained: {folder} grows a {config['family']}, the plan's family is {plan.family}"
        )
    mine = plan.operator.model_dump()
    operator = OperatorPlan(**config["operator"] | {name: mine[name] for name in OF_THE_RUN})
    shape = Shape(**config["intermediate"])
    return plan.model_copy(update={"family": config["family"], "intermediate": shape, "operator": operator})


def trained_arrays(folder: str | Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays of a trained operator.

    Args:
        folder: its folder.
        expected: arrays of the names, shapes and types that it has to have.

    Raises:
        FedgrowError: they differ; the text names the first that does.
    """
    try:
        arrays = read_tensors(Path(folder) / ARRAYS)
    except Exception as error:  # safetensors has errors of its own
        raise FedgrowError(f"operator.trained: {folder}/{ARRAYS} cannot be read ({error})") from None
    for name in sorted({*arrays, *expected}):
        found, wanted = (x.get(name) for x in (arrays, expected))
        if found is None or wanted is None or (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise FedgrowError(
                f"operator.trained: array {name!r} of {folder} is {_told(found)}, its {CONFIG} makes it {_told(wanted)}; "
                "take the folder as the run wrote it"
            )
        if not bool(found.isfinite().all()):
            raise FedgrowError(
                f"operator.trained: array {name!r} of {folder} holds values that are not finite"
            )
    return {name: arrays[name] for name in expected}


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file() and (folder / "operator" / CONFIG).is_file():
        raise FedgrowError(f"operator.trained: {folder} is a run's folder; name {folder / 'operator'} in it")
    try:
        config = read_json(folder / CONFIG)
        OperatorPlan(**config["operator"])
        for name in ("intermediate", "large"):
            Shape(**config[name])
        return {**config, "family": str(config["family"])}
    except (FedgrowError, ValueError, KeyError, TypeError) as error:
        raise FedgrowError(
            f"operator.trained: {folder} holds no operator ({type(error).__name__}: {error}); "
            f"give a run's folder operator/, with {ARRAYS} and {CONFIG}"
        ) from None


def _sizes(shape: Shape) -> dict[str, Any]:
    return {k: v for k, v in shape.model_dump().items() if k != "rotary"}


def _told(array: Tensor | None) -> str:
    return "missing" if array is None else f"{str(array.dtype).removeprefix('torch.')}{tuple(array.shape)}"
