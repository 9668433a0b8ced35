"""A command whose help names what is registered: looked up when help is shown, for the imports take seconds."""

from typing import Any

import click
from typer.core import TyperCommand

BASELINES = "{baselines}"


class Registered(TyperCommand):
    """A command that puts the registered baselines where the help of an option says ``{baselines}``."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the help."""
        from fedgrow.approaches import BASELINES as REGISTERED

        option: Any
        for option in self.params:
            if getattr(option, "help", None):
                option.help = option.help.replace(BASELINES, ", ".join(REGISTERED))
        super().format_help(ctx, formatter)
