"""``fedgrow families``: what can grow, and how exactly."""

import json
from typing import Annotated

import typer
from rich.table import Table

from fedgrow.cli.app import app
from fedgrow.cli.progress import table_console


@app.command()
def families(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the supported families, the exactness of every direction of growth, operators and methods."""
    from fedgrow.report import tables

    shown = {
        "families": tables.family_rows(),
        "exactness at the start": tables.exactness_rows(),
        "operators": tables.operator_rows(),
        "methods": tables.initialiser_rows(),
    }
    if as_json:
        plain = {
            name: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for name, rows in shown.items()
        }
        print(json.dumps(plain, indent=2))
        return
    console = table_console()
    for name, rows in shown.items():
        view = Table(title=name, title_justify="left")
        for column in rows[0]:
            view.add_column(column)
        for row in rows[1:]:
            view.add_row(*row)
        console.print(view)
