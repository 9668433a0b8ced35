"""One participant at its own site: its small model, and training and evaluation with its own data and seeds.

Everything private stays under the participant's folder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fedgrow.architectures import families, read
from fedgrow.architectures.configuration import new_config, save_config
from fedgrow.architectures.models import CANNOT_BE_MADE, count, load_model, new_model, quiet
from fedgrow.config.plan import PreparePlan, TrainingPlan
from fedgrow.disk.atomic import read_json, write_folder, write_json
from fedgrow.disk.events import emit
from fedgrow.errors import FedgrowError
from fedgrow.learners import Learner, Phase, WholeModel
from fedgrow.participants.own_data import OwnData
from fedgrow.seeds import INIT, TRAIN, derive
from fedgrow.tasks.models import load_for
from fedgrow.training.arithmetic import training_flops
from fedgrow.training.flops import counted
from fedgrow.training.loop import Fitted, Watch, evaluate, fit


@dataclass(frozen=True)
class Tuned:
    """A model after fine-tuning, what it reaches, and the arithmetic that it took."""

    model: nn.Module
    metrics: dict[str, float]
    flops: int


class Participant(OwnData):
    """A participant of a run: its small model, and what it trains with its own data and seeds.

    Args:
        run: the run's folder.
        index: the participant's number in the plan.

    Attributes:
        purpose: the approach that it trains for: the arithmetic of steps that are alike is counted once for each.
        watch: sees every step of training that nothing else watches.
    """

    def __init__(self, run: Path, index: int) -> None:
        super().__init__(run, index)
        self.purpose = ""
        self.watch: Watch | None = None

    # its small model

    @property
    def small_folder(self) -> Path:
        """Where the prepared small model lies."""
        return self.folder / "private" / "small"

    def prepare(self) -> None:
        """Load or make the small model and train it on the participant's own shard; done once."""
        if (self.small_folder / "prepared.json").is_file():
            return
        plan = self.entry.prepare or self.plan.prepare
        seed = derive(self.plan.seed, INIT, self.index)
        model, fresh = self._initial_model(seed)
        learner = WholeModel(model, self._prepare_rate)
        fitted = self.fit(learner, {}, learner.private_start(), "joint", plan.steps, 0, prepare=plan)
        metrics = self.evaluate(learner, {}, fitted.private)
        trained = learner.materialise({}, fitted.private)
        record = {
            "shape": read(trained).shape.model_dump(),
            "parameters": count(trained),
            "metrics": metrics,
            "steps": plan.steps,
            "flops": self.training_flops(learner, "joint", plan.steps, 0, prepare=plan),
            "fresh_tensors": fresh,
            "examples": {"train": len(self.train_data), "test": len(self.test_data)},
            "labels": list(self.codec.labels),
        }

        def fill(folder: Path) -> None:
            self.save_pretrained(trained, folder)
            write_json(folder / "prepared.json", record)

        write_folder(self.small_folder, fill)

    def _initial_model(self, seed: int) -> tuple[nn.Module, list[str]]:
        if isinstance(self.entry.model, str):
            return load_for(self.entry.model, self.task, self.codec, seed=seed)
        assert self.entry.model is not None
        family = families()[self.plan.family or ""]
        settings = self.codec.config_values() | self.plan.model_settings
        try:
            config = new_config(family, self.entry.model, settings)
            return new_model(config, self.task.name, seed=seed), []
        except CANNOT_BE_MADE as error:
            raise FedgrowError(
                f"participant {self.name}: no {family.family} can be made with model_settings "
                f"{self.plan.model_settings} for this data ({type(error).__name__}: {error})"
            ) from None

    @cached_property
    def prepared(self) -> dict[str, Any]:
        """What is known of the prepared small model: shape, parameters, metrics."""
        return read_json(self.small_folder / "prepared.json")

    @property
    def _prepare_rate(self) -> float:
        plan = self.entry.prepare or self.plan.prepare
        return plan.rate(trained=isinstance(self.entry.model, str))

    @property
    def small_rate(self) -> float:
        """The step size for the small model, where it is trained on."""
        return self.plan.training.small_model_learning_rate or self._prepare_rate

    @cached_property
    def small_model(self) -> nn.Module:
        """The prepared small model."""
        return load_model(self.small_folder, self.task.name)[0]

    def save_pretrained(self, model: Any, folder: Path) -> None:
        """Write a model with its tokenizer or image processor beside it."""
        with quiet():
            model.save_pretrained(folder)
            save_config(self.run.family, model.config, folder)
            self.codec.save(folder)

    def finetune(self, model: nn.Module, steps: int) -> "Tuned":
        """Train all weights of a grown model on this participant's own data."""
        rate = self.plan.training.finetune_learning_rate
        learner = WholeModel(model, rate or self._prepare_rate)
        last = self.plan.schedule.rounds + 1
        fitted = self.fit(learner, {}, learner.private_start(), "joint", steps, last)
        tuned = learner.materialise({}, fitted.private)
        cost = self.training_flops(learner, "joint", steps, last)
        return Tuned(tuned, self.evaluate(learner, {}, fitted.private), cost)

    # training and evaluation with this participant's data and seeds

    def fit(
        self,
        learner: Learner,
        shared: Mapping[str, Tensor],
        private: Mapping[str, Tensor],
        phase: Phase,
        steps: int,
        server_round: int,
        *,
        prepare: PreparePlan | None = None,
        training: TrainingPlan | None = None,
        watch: Watch | None = None,
        trains: Callable[[str], bool] | None = None,
        part: int = 0,
    ) -> Fitted:
        """Train a learner on this participant's data, with the seed of this round (and, from the second, of its part)."""
        train = self._training(learner, shared, private, training)
        seed = self._seed(server_round, part, prepare)
        try:
            fitted = train(phase=phase, steps=steps, seed=seed, watch=watch or self.watch, trains=trains)
        except FedgrowError as error:
            when = "while its small model was prepared" if prepare else f"in round {server_round}"
            raise FedgrowError(f"participant {self.name}, {when}: {error}") from None
        if fitted.skipped:  # for the participant's eyes only
            private_folder = self.folder / "private"
            private_folder.mkdir(parents=True, exist_ok=True)
            emit(
                private_folder,
                "skipped",
                participant=self.index,
                round=server_round,
                steps=fitted.skipped,
            )
        return fitted

    def training_flops(
        self,
        learner: Learner,
        phase: Phase,
        steps: int,
        server_round: int,
        *,
        prepare: PreparePlan | None = None,
        training: TrainingPlan | None = None,
        trains: Callable[[str], bool] | None = None,
        part: int = 0,
    ) -> int:
        """Return the arithmetic of ``fit`` from the learner's start; steps that are alike are counted once in a run."""
        return training_flops(
            self._training(learner, learner.shared_start(), learner.private_start(), training),
            learner,
            self.train_data,
            self.codec,
            (training or self.plan.training).batch_size,
            phase=phase,
            steps=steps,
            seed=self._seed(server_round, part, prepare),
            trains=trains,
            # tables over the vocabulary may be frozen, and in no tensor of the learner's
            alike=(self.run.path, self.purpose, training, self.codec.vocabulary_digest()),
        )

    def _training(
        self,
        learner: Learner,
        shared: Mapping[str, Tensor],
        private: Mapping[str, Tensor],
        training: TrainingPlan | None,
    ) -> Callable[..., Fitted]:
        plan = training or self.plan.training
        return partial(fit, learner, shared, private, self.train_data, self.codec, self.task, plan)

    def _seed(self, server_round: int, part: int, prepare: PreparePlan | None) -> int:
        path = (self.index, server_round, part) if part else (self.index, server_round)
        return derive(self.plan.seed, INIT if prepare else TRAIN, *path)

    def sending_flops(self, learner: Learner) -> int:
        """Return the arithmetic of what this participant makes to be sent after a round."""
        return counted(lambda: learner.sent(learner.shared_start(), learner.private_start()))

    def evaluate(
        self, learner: Learner, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return loss and metrics of a learner on this participant's held-out data."""
        size = self.plan.training.batch_size
        try:
            return evaluate(
                learner, shared, private, self.test_data, self.codec, self.task, size, self.plan.training
            )
        except FedgrowError as error:
            raise FedgrowError(f"participant {self.name}: {error}") from None
