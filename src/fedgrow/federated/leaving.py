"""What a plan lets leave a site, by arithmetic alone: known before anything is made, and before anybody is asked."""

from dataclasses import dataclass
from math import prod

from fedgrow.architectures import families
from fedgrow.config.plan import Plan
from fedgrow.exchange.compression import compression_of
from fedgrow.learners.dual_ligo import global_operator


@dataclass(frozen=True)
class Leaving:
    """What leaves in every round.

    Attributes:
        arrays: how many there are in Global-LiGO.
        numbers: how many they hold.
        bytes: in how many bytes they travel, without what Flower writes around them.
        rounds: how often, in all.
    """

    arrays: int
    numbers: int
    bytes: int
    rounds: int

    @classmethod
    def of(cls, plan: Plan) -> "Leaving":
        """Count what a plan lets leave, its shapes and its family settled.

        Raises:
            FedgrowError: there is no such operator between the plan's shapes.
        """
        operator = global_operator(plan, families()[plan.family or ""])
        compression = compression_of(plan.compression)
        sizes = [prod(shape) for shape in operator.shapes().values()]
        sent = sum(compression.size(numbers) for numbers in sizes)
        return cls(len(sizes), sum(sizes), sent, plan.schedule.rounds)

    @property
    def all_bytes(self) -> int:
        """Bytes of all rounds."""
        return self.rounds * self.bytes
