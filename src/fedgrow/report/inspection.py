"""What is told of models: family, shape, possible growth, and the common intermediate shape of several."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fedgrow.architectures import Family, Reading, Shape, family_of, read, shape_of
from fedgrow.architectures.models import load_config, load_model
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.folders.source import head_named
from fedgrow.growth.exactness import cells
from fedgrow.growth.intermediate import smallest_intermediate


def reading_of(folder: str) -> Reading:
    """Load a model with the head that its folder names, and read it against its table."""
    config = load_config(folder)
    family = family_of(config)
    shape_of(family, config)  # sizes that are none are told by their settings' names
    return read(load_model(folder, head_named(family, config))[0])


def describe(reading: Reading) -> dict[str, Any]:
    """Return what is shown of a model as plain values."""
    return {
        "family": reading.family.family,
        "head": reading.head,
        "norm": reading.family.norm,
        "shape": reading.shape.model_dump(),
        "growth": [cell.as_dict() for cell in cells(reading.family)],
    }


def growth_table(folder: str, reading: Reading) -> Table:
    """Return one model as a table."""
    table = Table(
        title=f"{Path(folder).name}: {reading.family.family} ({reading.family.norm}-norm), {reading.shape}, "
        f"head: {reading.head or 'none'}",
        title_justify="left",
    )
    for column in ("direction", "growth", "how"):
        table.add_column(column)
    for cell in cells(reading.family):
        table.add_row(cell.direction, cell.exactness, cell.rule)
    return table


def common_shape(models: list[tuple[Family, Shape]], max_width: int | None) -> dict[str, Any]:
    """Return the smallest common intermediate shape, or why there is none."""
    families = {family.family for family, _ in models}
    if len(families) > 1:
        raise FedgrowError(
            f"the models are of several families ({', '.join(sorted(families))}); a federation grows one"
        )
    try:
        shape = smallest_intermediate(models[0][0], [shape for _, shape in models], max_width=max_width)
    except ShapeError as error:
        return {"shape": None, "text": "none", "reason": str(error)}
    return {"shape": shape.model_dump(), "text": str(shape), "reason": None}
