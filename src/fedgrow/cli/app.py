"""The ``fedgrow`` command: its subcommands, and how errors end it."""

import errno
import sys

import typer
from rich.console import Console
from rich.text import Text

from fedgrow.disk.environment import this_fedgrow
from fedgrow.errors import FedgrowError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Cli(typer.Typer):
    """A Typer whose errors that a user can mend (full disks, too) end with one clear text on stderr and exit code 1."""

    def __call__(self, *args: object, **kwargs: object) -> None:
        """Run the command line."""
        try:
            super().__call__(*args, **kwargs)
        except FedgrowError as error:
            said = str(error)
        except Exception as error:
            if _is_one_of(error, FULL):
                said = f"{error}; make room, and give the same command again, or its --resume"
            elif _is_one_of(error, FORBIDDEN):
                said = f"{error}; let this user read and write there"
            else:
                raise
        else:
            return
        Console(stderr=True).print(Text(f"error: {said}", style="red"), soft_wrap=True)
        sys.exit(1)


def _is_one_of(error: Exception, numbers: tuple[int, ...]) -> bool:
    """Whether the system gave one of these numbers for an error: as Python says it, or as safetensors does."""
    if isinstance(error, OSError):
        return error.errno in numbers
    said = [f"(os error {number})" for number in numbers]
    return type(error).__name__ == "SafetensorError" and any(one in str(error) for one in said)


app = Cli(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Grow a larger transformer together: neither data nor models leave a participant, only a growth operator.",
)


def _version(show: bool) -> None:
    if show:
        print(f"fedgrow {this_fedgrow()}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_version,
        is_eager=True,
        help="Print the version, and a digest of the code.",
    ),
) -> None:
    """Grow a larger transformer together."""


# Each command registers itself on import.
from fedgrow.cli import (  # noqa: E402, F401
    audit,
    compare,
    demo,
    families,
    grow,
    inspect,
    invite,
    join,
    learn,
    server,
    simulate,
    status,
)
