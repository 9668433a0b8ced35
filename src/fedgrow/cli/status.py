"""``fedgrow status``: how a federation stands."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedgrow.cli.app import app
from fedgrow.cli.progress import table_console


@app.command()
def status(
    out: Annotated[Path, typer.Option(help="The coordinator's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how a federation stands: rounds, sites, when each was last seen, bytes, metrics."""
    from rich.table import Table

    from fedgrow.sites.status import status_of

    found = status_of(out)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = table_console()
    console.print(
        f"{found['experiment']}: {found['state']}, round {found['round']} of {found['rounds']}, "
        f"{found['bytes_up'] / 1e6:.2f} MB up, {found['bytes_down'] / 1e6:.2f} MB down",
        highlight=False,
    )
    table = Table(
        "site", "invited", "online", "last seen", "answered", "refused", "left out", *found["metrics"]
    )
    for name, site in found["sites"].items():
        values = ["" if v is None else f"{v:.3f}" for v in (site["metrics"].get(m) for m in found["metrics"])]
        table.add_row(
            name,
            "yes" if site["invited"] else "no",
            "yes" if site["online"] else "no",
            site["last_seen"] or "never",
            str(site["answered"]),
            str(site["refused"]),
            str(site["left_out"]),
            *values,
        )
    console.print(table)
