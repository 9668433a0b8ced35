"""What an approach is: one way for every participant to get a model, with the same data, seeds and budget of steps.

Fed-Grow is one of them; the others are what it is measured against.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

from fedgrow.approaches.schedule import Parts, jointly, preparing_steps, spread_steps
from fedgrow.architectures import Family, Shape
from fedgrow.config.plan import CompressionPlan, Plan, StrategyPlan, TrainingPlan
from fedgrow.disk.atomic import read_tensors, write_tensors
from fedgrow.learners.base import Learner, Tensors
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder

Metrics = dict[str, float]


@dataclass(frozen=True)
class Ended:
    """Where one participant ended, and what its training cost.

    Attributes:
        metrics: loss and metrics on its held-out data, at the end.
        curve: the same after every round, None where it was not evaluated; shorter where an approach has no rounds.
        flops: arithmetic of its training so far, after every round (forward and backward, operators included).
        trained: numbers that it trains.
        model: parameters of the model that it ends with; 0 where that is no network.
    """

    metrics: Metrics
    curve: Sequence[Mapping[str, float | None]]
    flops: list[int]
    trained: int
    model: int


@dataclass(frozen=True)
class Outcome:
    """What an approach reached and what it cost.

    Attributes:
        participants: where everyone ended, by name.
        bytes_up: serialised bytes from participants, after every round; empty where nothing travels.
        bytes_down: likewise, to participants.
        shared: numbers that a participant sends in a round, on average.
    """

    participants: dict[str, Ended]
    bytes_up: list[int]
    bytes_down: list[int]
    shared: int

    def to_json(self) -> dict[str, Any]:
        """Return what ``outcome.json`` holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcome":
        """Return what ``to_json`` was made of."""
        people = {name: Ended(**ended) for name, ended in value["participants"].items()}
        return cls(**value | {"participants": people})

    @property
    def metrics(self) -> dict[str, Metrics]:
        """Everyone's metrics at the end."""
        return {name: ended.metrics for name, ended in self.participants.items()}


class Sent(NamedTuple):
    """What a participant sent after a round, and on how many examples it was trained."""

    arrays: Tensors
    examples: int


class Approach(ABC):
    """One way for every participant to get a model.

    Attributes:
        name: its name in plans and folders.
        title: what it is, for tables.
        travels: what leaves a participant.
        tasks: the tasks that it fits; None for every task.
        goes_by: the settings of a plan that it goes by, of those that a study may set for one method.
        also_read: those that a study may not set for it, though its results follow from them.
        grows: whether it grows models, so that its results follow from how growth is done.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    travels: ClassVar[str] = "nothing"
    tasks: ClassVar[tuple[str, ...] | None] = None
    goes_by: ClassVar[tuple[str, ...]] = ("schedule", "training")
    also_read: ClassVar[tuple[str, ...]] = ()
    grows: ClassVar[bool] = False

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return whose prepared small models it begins with, by number: preparing them is part of its cost."""
        return range(len(plan.participants))

    def unprepared(self, plan: Plan) -> int:
        """Return a participant's steps in place of a preparation that the approach does not begin with."""
        return 0 if len(self.prepared(plan)) == len(plan.participants) else preparing_steps(plan)

    def check(self, plan: Plan, family: Family, shapes: Sequence[Shape]) -> None:
        """Refuse a plan that the approach cannot carry out, before anything is written.

        Args:
            plan: the plan, its large shape settled.
            family: the family of all models.
            shapes: shapes of the participants' small models, in the plan's order.

        Raises:
            FedgrowError: it cannot; the text says why.
        """
        return None

    def check_data(self, plan: Plan) -> None:
        """Refuse data that the approach cannot be carried out on, before anything is written.

        Raises:
            FedgrowError: it cannot; the text says why.
        """
        return None


class Alone(Approach):
    """Every participant by itself."""

    @abstractmethod
    def run(self, site: Participant) -> Ended:
        """Train and evaluate one participant."""


class Together(Approach):
    """All data in one place: no federation at all."""

    @abstractmethod
    def run(self, sites: Sequence[Participant]) -> list[Ended]:
        """Train once, evaluate for every participant."""


class Federated(Approach):
    """Participants train in rounds, and what they share is averaged between them.

    Where an approach goes by ``strategy`` and ``compression``, these are the plan's; others average by themselves.

    Attributes:
        may_go_along: whether what a round came to can be evaluated when the next one begins.
    """

    may_go_along: ClassVar[bool] = True

    @abstractmethod
    def learner(self, site: Participant) -> Learner:
        """Return what a participant trains."""

    def settle(self, run: RunFolder, sites: Sequence[Participant]) -> None:
        """Settle before the first round what all have to know; written to the approach's folder."""

    def begin_with(self, run: RunFolder, start: Tensors) -> None:
        """Settle the shared tensors that the server begins with."""
        write_tensors(run.approach(self.name) / "start.safetensors", start)

    def start(self, run: RunFolder) -> Tensors:
        """Return the shared tensors that the server begins with: what was settled."""
        return read_tensors(run.approach(self.name) / "start.safetensors")

    def shared(self, run: RunFolder, learner: Callable[[], Learner]) -> Tensors:
        """Return the shared tensors as one participant has them: their names, shapes and types are what may leave.

        Args:
            run: the run.
            learner: returns what the participant trains, around its small model.
        """
        return learner().shared_start()

    def training(self, plan: TrainingPlan) -> TrainingPlan:
        """Return how participants train: without a pull to the round's start, which is Fed-Grow's to have, and FedProx's."""
        return plan.model_copy(update={"proximal": 0.0})

    def strategy(self, plan: Plan) -> StrategyPlan:
        """Return how the server averages."""
        return plan.strategy if "strategy" in self.goes_by else StrategyPlan()

    def compression(self, plan: Plan) -> CompressionPlan:
        """Return how what travels is made smaller."""
        return plan.compression if "compression" in self.goes_by else CompressionPlan()

    def along(self, plan: Plan) -> bool:
        """Whether what a round came to is evaluated when the next round begins, not in a phase of its own."""
        return self.may_go_along and plan.schedule.evaluation == "along"

    def down(self, run: RunFolder, held: Tensors, participant: int, server_round: int) -> Tensors:
        """Return what is sent to one participant, for a round, of all that the server holds."""
        return held

    def aggregate(
        self, run: RunFolder, held: Tensors, sent: Mapping[int, Sent], server_round: int
    ) -> Tensors | None:
        """Return what the server holds after a round; None leaves it to Flower's strategy.

        Args:
            run: the run.
            held: what the server held before the round.
            sent: what came back, by participant.
            server_round: the round.
        """
        return None

    def rounds(self, plan: Plan) -> list[Parts]:
        """Return the phases and steps before the first round, and of every round."""
        return jointly(spread_steps(plan, self.unprepared(plan)), plan.schedule.rounds)

    def trains(self, plan: Plan, name: str, server_round: int) -> bool:
        """Whether a shared tensor is trained in a round, if its phase trains it at all."""
        return True
