"""fedgrow: grow a larger transformer together, sharing neither data nor models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgrow.single.grow import grow
    from fedgrow.single.learn import learn

__version__ = "0.1.0"
__all__ = ["__version__", "grow", "learn"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, for torch and transformers take seconds."""
    if name == "grow":
        from fedgrow.single.grow import grow

        return grow
    if name == "learn":
        from fedgrow.single.learn import learn

        return learn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
