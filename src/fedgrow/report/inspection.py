"""What is told of models: family, shape, possible growth, and the common intermediate shape of several."""

from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedgrow.architectures import Family, Reading, Shape, family_of, read, shape_of
from fedgrow.architectures.models import load_config, load_model
from fedgrow.architectures.reader import class_name
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.folders.source import head_named
from fedgrow.growth.exactness import cells
from fedgrow.growth.intermediate import smallest_intermediate


@dataclass(frozen=True)
class Inspected:
    """A model, read against its table.

    Attributes:
        reading: what the table says about it, with the head that its folder names.
        unknown: the classes that the folder names, if none has a table: their head would not grow.
    """

    reading: Reading
    unknown: tuple[str, ...]

    @property
    def head(self) -> str:
        """What is told of its head."""
        if self.unknown:
            return f"none known ({', '.join(self.unknown)} has no table, so `grow` refuses it)"
        return self.reading.head or "none"


def inspected(folder: str) -> Inspected:
    """Load a model with the head that its folder names, and read it against its table."""
    config = load_config(folder)
    family = family_of(config)
    shape_of(family, config)  # sizes that are none are told by their settings' names
    head, named = head_named(family, config), tuple(config.architectures or ())
    unknown = () if head or class_name(family, config, None) in named else named
    return Inspected(read(load_model(folder, head)[0]), unknown)


def describe(model: Inspected) -> dict[str, Any]:
    """Return what is shown of a model as plain values."""
    reading = model.reading
    return {
        "family": reading.family.family,
        "head": reading.head,
        "unknown_heads": list(model.unknown),
        "norm": reading.family.norm,
        "shape": reading.shape.model_dump(),
        "growth": [cell.as_dict() for cell in cells(reading.family)],
    }


def growth_table(folder: str, model: Inspected) -> Table:
    """Return one model as a table."""
    reading = model.reading
    table = Table(
        title=f"{escape(folder)}: {reading.family.family} ({reading.family.norm}-norm), {reading.shape}, "
        f"head: {model.head}",
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
