"""A participant's own data: its shard, split into training and held-out examples, and their tensors."""

from functools import cached_property
from pathlib import Path

from fedgrow.architectures.models import load_config
from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.data.examples import Examples
from fedgrow.runs.folder import RunFolder, divided
from fedgrow.tasks import TASKS, Codec, Encoded, Given, Task


class OwnData:
    """What a participant has before there is any model.

    Args:
        run: the run's folder.
        index: the participant's number in the plan.
    """

    def __init__(self, run: Path, index: int) -> None:
        self.run = RunFolder(run)
        self.plan: Plan = self.run.plan
        self.index = index
        self.entry: ParticipantPlan = self.plan.participants[index]
        self.name = self.entry.name
        self.task: Task = TASKS[self.plan.task]
        self.folder = self.run.participant(self.name)

    @cached_property
    def _splits(self) -> tuple[Examples, Examples, Examples]:
        """The shard, its training part and its held-out part."""
        shard, train, test = divided(self.plan, self.run.partition.shards, self.name)
        return shard, shard.take(train), shard.take(test)

    @property
    def raw_data(self) -> tuple[Examples, Examples]:
        """Training and held-out examples as they came."""
        return self._splits[1:]

    @cached_property
    def codec(self) -> Codec:
        """Tokenizer or image processor, and labels."""
        config = load_config(self.entry.model) if isinstance(self.entry.model, str) else None
        shard, train, _ = self._splits
        return self.task.codec(Given(self.plan, self.entry, shard, config, train))

    @cached_property
    def train_data(self) -> Encoded:
        """Training examples as tensors."""
        return self.codec.encode(self._splits[1])

    @cached_property
    def test_data(self) -> Encoded:
        """Held-out examples as tensors."""
        return self.codec.encode(self._splits[2])
