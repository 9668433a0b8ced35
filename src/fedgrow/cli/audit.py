"""``fedgrow audit``: what left a site."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedgrow.cli.app import app
from fedgrow.errors import FedgrowError


@app.command()
def audit(
    ledger: Annotated[Path, typer.Argument(help="A ledger, or a site's folder.", exists=True)],
    expect: Annotated[
        str | None,
        typer.Option(
            help="The hash of the last line as noted earlier; a ledger cut short since is an error."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify a site's ledger and say, in words, what left it."""
    from fedgrow.sites.audit import audited, in_words

    paths = [ledger] if ledger.is_file() else sorted(ledger.glob("**/ledger.jsonl"))
    if not paths:
        raise FedgrowError(f"{ledger}: there is no ledger.jsonl in it")
    if expect is not None and len(paths) > 1:
        raise FedgrowError(f"--expect: {ledger} holds {len(paths)} ledgers; name one")
    found = {str(path): audited(path, expect) for path in paths}
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console()
    for path, one in found.items():
        console.print(f"{path}: {in_words(one)}", soft_wrap=True, highlight=False, markup=False)
