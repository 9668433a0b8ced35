"""``fedgrow invite``: let a site into a federation."""

from pathlib import Path
from typing import Annotated

import typer

from fedgrow.cli.app import app
from fedgrow.errors import FedgrowError


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="The site's name in the plan.")],
    key: Annotated[
        str, typer.Option(help="The site's public key, as `fedgrow join` prints it, or a file that holds it.")
    ],
    out: Annotated[Path, typer.Option(help="The coordinator's folder.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Instead of its key so far, which was lost or stolen.")
    ] = False,
) -> None:
    """Add a site's key to a federation, and say what the site needs.

    The server takes the key up at once, running or not.
    """
    from fedgrow.runs.folder import digest_of
    from fedgrow.sites.coordination import Coordination

    at = Coordination.open(out)
    file = Path(key)
    try:
        text = file.read_text("utf-8") if len(key) < 1024 and file.is_file() else key
    except (OSError, UnicodeDecodeError) as error:
        raise FedgrowError(f"--key {key}: it cannot be read ({error})") from None
    if text is key and " " not in key.strip():
        raise FedgrowError(
            f"--key {key}: there is no such file, and it is no key (ecdsa-sha2-nistp384 AAAA...)"
        )
    at.invite(name, text, replace=replace)
    print(
        f"{name} is invited. Give the site, over a channel that cannot be tampered with:\n"
        f"  {at.certificates / 'ca.crt'}\n"
        "and these lines for its own file:\n"
        f"  name: {name}\n"
        f"  coordinator: {at.calls}\n"
        "  certificate: ca.crt\n"
        f"  plan: {digest_of(at.shown)}    # or leave it out, and be asked"
    )
