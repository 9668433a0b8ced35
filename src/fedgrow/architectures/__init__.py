"""Architectures as data: one table per family, and the code that reads it and checks models against it."""

from fedgrow.architectures.configuration import shape_of
from fedgrow.architectures.reader import Reading, read
from fedgrow.architectures.registry import families, family_of
from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family, TensorSpec

__all__ = ["Family", "Reading", "Shape", "TensorSpec", "families", "family_of", "read", "shape_of"]
