"""The plans that come with fedgrow; imports nothing heavy, for the command line's help."""

from importlib import resources
from pathlib import Path


def shipped_plans() -> dict[str, Path]:
    """Return the shipped plans, by name."""
    folder = Path(str(resources.files("fedgrow.config") / "plans"))
    return {f.stem: f for f in sorted(folder.glob("*.yaml"))}
