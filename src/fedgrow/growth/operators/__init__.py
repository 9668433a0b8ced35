"""Growth operators, one kind per file; add a kind by adding a file and a line here."""

from fedgrow.growth.operators.base import Maps, Operator
from fedgrow.growth.operators.dense import Dense
from fedgrow.growth.operators.fixed import Fixed
from fedgrow.growth.operators.low_rank import LowRankOperator
from fedgrow.growth.operators.partial import Partial
from fedgrow.growth.operators.tied import Tied

OPERATORS: dict[str, type[Operator]] = {
    operator.kind: operator for operator in (Dense, Tied, Partial, LowRankOperator, Fixed)
}

__all__ = ["OPERATORS", "Maps", "Operator"]
