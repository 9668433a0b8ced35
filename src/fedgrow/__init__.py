"""fedgrow: grow a larger transformer together, sharing neither data nor models."""

__version__ = "0.1.0"
