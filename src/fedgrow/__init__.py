"""fedgrow: grow a larger transformer together, sharing neither data nor models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgrow.config.load import load_plan
    from fedgrow.federated.simulate import simulate
    from fedgrow.single.grow import grow
    from fedgrow.single.learn import learn

__version__ = "0.1.0"
__all__ = ["__version__", "grow", "learn", "load_plan", "simulate"]

_FROM = {
    "grow": "fedgrow.single.grow",
    "learn": "fedgrow.single.learn",
    "load_plan": "fedgrow.config.load",
    "simulate": "fedgrow.federated.simulate",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, for torch and transformers take seconds."""
    if name in _FROM:
        return getattr(import_module(_FROM[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
