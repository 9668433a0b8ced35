"""The plans and studies that come with fedgrow; imports nothing heavy, for the command line's help."""

from importlib import resources
from pathlib import Path


def shipped_plans() -> dict[str, Path]:
    """Return the shipped plans, by name."""
    return _shipped("plans")


def shipped_studies() -> dict[str, Path]:
    """Return the shipped studies, by name."""
    return _shipped("studies")


def _shipped(kind: str) -> dict[str, Path]:
    folder = Path(str(resources.files("fedgrow.config") / kind))
    return {f.stem: f for f in sorted(folder.glob("*.yaml"), key=lambda f: f.stem)}
