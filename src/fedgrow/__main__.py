"""``python -m fedgrow``: the command line."""

from fedgrow.cli import app

app()
