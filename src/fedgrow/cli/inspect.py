"""``fedgrow inspect``: what models are, and what they can grow to."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fedgrow.architectures import Family, Reading, Shape, family_of, read
from fedgrow.architectures.models import load_config, load_model
from fedgrow.cli.app import app
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.growth.intermediate import smallest_intermediate
from fedgrow.growth.possible import possibilities


@app.command()
def inspect(
    folders: Annotated[
        list[str], typer.Argument(help="Hugging Face folders or hub ids.", show_default=False)
    ],
    max_width: Annotated[
        int | None,
        typer.Option(min=1, help="Widest common intermediate shape to look for.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show family, shape and possible growth of models; for several, the smallest common intermediate shape."""
    models = {folder: reading_of(folder) for folder in folders}
    common = (
        common_shape([(r.family, r.shape) for r in models.values()], max_width) if len(models) > 1 else None
    )
    if as_json:
        print(
            json.dumps(
                {"models": {f: as_dict(r) for f, r in models.items()}, "intermediate": common}, indent=2
            )
        )
        return
    console = Console()
    for folder, reading in models.items():
        show(console, folder, reading)
    if common:
        if common["shape"]:
            console.print(f"Smallest common intermediate shape: [bold]{Shape(**common['shape'])}[/bold]")
        else:
            console.print(f"[yellow]{common['reason']}[/yellow]")


def reading_of(folder: str) -> Reading:
    """Load a model with the head that its folder names, and read it against its table."""
    config = load_config(folder)
    family = family_of(config)
    named = set(getattr(config, "architectures", None) or ())
    head = next((name for name, entry in family.heads.items() if entry.architecture in named), None)
    return read(load_model(folder, head)[0])


def as_dict(reading: Reading) -> dict[str, Any]:
    """Return what is shown of a model as plain values."""
    return {
        "family": reading.family.family,
        "head": reading.head,
        "norm": reading.family.norm,
        "shape": reading.shape.model_dump(),
        "growth": [p.as_dict() for p in possibilities(reading.family, reading.shape)],
    }


def show(console: Console, folder: str, reading: Reading) -> None:
    """Print one model."""
    table = Table(
        title=f"{Path(folder).name}: {reading.family.family} ({reading.family.norm}-norm), {reading.shape}, "
        f"head: {reading.head or 'none'}",
        title_justify="left",
    )
    for column in ("direction", "growth", "how"):
        table.add_column(column)
    for p in possibilities(reading.family, reading.shape):
        table.add_row(p.direction, p.exactness, p.rule)
    console.print(table)


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
        return {"shape": None, "reason": str(error)}
    return {"shape": shape.model_dump(), "reason": None}
