"""Growth of transformers: maps, operators, depth, and the pure function that applies them."""

from fedgrow.growth.canonical import stack
from fedgrow.growth.composed import Applied
from fedgrow.growth.grow import grow
from fedgrow.growth.operators import OPERATORS, Operator
from fedgrow.growth.stage import Stage

__all__ = ["OPERATORS", "Applied", "Operator", "Stage", "grow", "stack"]
