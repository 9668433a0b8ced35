"""``fedgrow inspect``: what models are, and what they can grow to."""

import json
from typing import Annotated

import typer
from rich.console import Console

from fedgrow.cli.app import app


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
    from fedgrow.config.text import in_one_line
    from fedgrow.report.inspection import common_shape, describe, growth_table, inspected

    models = {folder: inspected(folder) for folder in folders}
    common = (
        common_shape([(m.reading.family, m.reading.shape) for m in models.values()], max_width)
        if len(models) > 1
        else None
    )
    if as_json:
        found = {"models": {f: describe(r) for f, r in models.items()}, "intermediate": common}
        print(json.dumps(found, indent=2))
        return
    console = Console()
    for folder, model in models.items():
        console.print(growth_table(folder, model))
    if common:
        if common["shape"]:
            console.print(f"Smallest common intermediate shape: [bold]{common['text']}[/bold]")
            sizes = {axis: size for axis, size in common["shape"].items() if size is not None}
            console.print(f"intermediate: {in_one_line(sizes)}", highlight=False, soft_wrap=True)
        else:
            console.print(f"[yellow]{common['reason']}[/yellow]")
