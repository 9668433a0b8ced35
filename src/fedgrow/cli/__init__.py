"""The command line, one command per file."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from fedgrow.cli.app import app

__all__ = ["app"]
