"""Architectures as data: one table per family, and the code that reads it and checks models against it."""

from fedgrow.architectures.reader import Reading, read
from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family, TensorSpec, families, family_of

__all__ = ["Family", "Reading", "Shape", "TensorSpec", "families", "family_of", "read"]
