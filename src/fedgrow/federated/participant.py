"""One participant at its own site: its data, its small model, its private state, and what it does when it is asked.

Nothing here knows of messages; ``client_app`` translates. Everything private stays under the participant's folder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fedgrow.approaches import APPROACHES, FED_GROW, Federated
from fedgrow.approaches.rounds import count
from fedgrow.architectures import families, read
from fedgrow.architectures.configuration import new_config, save_config
from fedgrow.architectures.models import CANNOT_BE_MADE, load_model, new_model, quiet
from fedgrow.config.plan import PreparePlan, TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression import compress, compression_down, compression_of, restore
from fedgrow.federated.own_data import OwnData
from fedgrow.federated.state import PrivateState
from fedgrow.growth.parity import Parity
from fedgrow.methods import DualLigo, Learner, Phase, Tensors, WholeModel
from fedgrow.report.model_card import model_card
from fedgrow.runs.atomic import read_json, write_folder, write_json
from fedgrow.runs.events import emit
from fedgrow.tasks.models import load_for
from fedgrow.training.arithmetic import training_flops
from fedgrow.training.flops import counted
from fedgrow.training.loop import Fitted, Watch, evaluate, fit
from fedgrow.training.parity import parity
from fedgrow.training.seeds import INIT, TRAIN, derive


@dataclass(frozen=True)
class Tuned:
    """A model after fine-tuning, what it reaches, and the arithmetic that it took."""

    model: nn.Module
    metrics: dict[str, float]
    flops: int


class Participant(OwnData):
    """A participant of a run.

    Args:
        run: the run's folder.
        index: the participant's number in the plan.
        method: what is federated: ``dual-ligo``, or a baseline that the plan lists.

    Attributes:
        watch: sees every step of training that nothing else watches.
    """

    def __init__(self, run: Path, index: int, method: str = FED_GROW.name) -> None:
        super().__init__(run, index)
        if method != FED_GROW.name and method not in self.plan.baselines:
            raise FedgrowError(f"method {method!r} is not in the plan; nothing of it may leave")
        approach = APPROACHES[method]
        if not isinstance(approach, Federated):
            raise FedgrowError(f"method {method!r} is not federated; nothing of it may leave")
        self.method, self.approach = method, approach
        self.watch: Watch | None = None
        own = (
            self.folder if method == FED_GROW.name else self.run.approach(method) / "participants" / self.name
        )
        self.state = PrivateState(own / "private" / "state")
        self.lost = PrivateState(own / "private" / "lost")
        self.compression = compression_of(approach.compression(self.plan))
        self.down = compression_down(approach.compression(self.plan))

    # its small model

    @property
    def small_folder(self) -> Path:
        """Where the readied small model lies."""
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
            self._save_pretrained(trained, folder)
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
        """What is known of the readied small model: shape, parameters, metrics."""
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
        """The readied small model."""
        return load_model(self.small_folder, self.task.name)[0]

    # its part in the federation

    @cached_property
    def learner(self) -> Learner:
        """What this participant trains, around its small model: readied now, if it was away when all readied theirs."""
        self.prepare()
        return self.approach.learner(self)

    @cached_property
    def shared_start(self) -> Tensors:
        """The shared tensors at the start: their names, shapes and types are what is trained together."""
        return self.approach.shared(self)

    @cached_property
    def wire_start(self) -> Tensors:
        """The same as they travel: their names, shapes and types are what may leave."""
        return compress(self.compression, self.shared_start, self.shared_start, {})[0]

    def given(self, travelled: Tensors) -> Tensors:
        """Return the shared tensors that a round begins with, from how they travelled to this participant."""
        return travelled if self.down.exact else restore(self.down, travelled, self.shared_start)

    @property
    def along(self) -> bool:
        """Whether what a round is given is evaluated before it is trained on."""
        return self.approach.along(self.plan)

    def train_locally(self, shared: Mapping[str, Tensor]) -> Fitted:
        """Two-phase: train Local-LiGO and the head before the first round."""
        start = self.learner.private_start()
        training = self.approach.training(self.plan.training)
        [(phase, steps)] = self.approach.rounds(self.plan)[0]
        fitted = self.fit(self.learner, shared, start, phase, steps, 0, training=training)
        self.state.save(0, fitted.private)
        return fitted

    def train_round(
        self, shared: Mapping[str, Tensor], server_round: int, taken: int | None = None
    ) -> Fitted:
        """Train for one federated round and keep the private tensors; running a round again gives the same.

        What is returned as shared is what travels: compressed, where the plan says so.

        Args:
            shared: the shared tensors that the round begins with.
            server_round: the round, from 1.
            taken: the last round whose answer from this participant was taken, 0 for none; default: the last before this.
        """
        rounds = self.approach.rounds(self.plan)
        private = self.private_after(server_round - 1)
        training = self.approach.training(self.plan.training)
        given, losses = dict(shared), []

        def trains(name: str) -> bool:
            return name not in given or self.approach.trains(self.plan, name, server_round)

        for part, (phase, steps) in enumerate(rounds[server_round]):
            fitted = self.fit(
                self.learner,
                given,
                private,
                phase,
                steps,
                server_round,
                training=training,
                trains=trains,
                part=part,
            )
            given, private = fitted.shared, fitted.private
            losses.append(fitted.loss)
        self.state.save(server_round, private)
        travels = self._compressed(self.learner.sent(given, private), shared, server_round, taken)
        return Fitted(travels, private, sum(losses) / len(losses), 0)

    def _compressed(
        self, sent: Tensors, given: Mapping[str, Tensor], server_round: int, taken: int | None
    ) -> Tensors:
        """Return what travels of a round; what compression loses of an array stays here until it is next trained.

        What an answer that was not taken would have brought of earlier losses stays here, too.
        """
        if self.compression.exact:
            return sent
        before = server_round - 1
        last = self.lost.latest(before if taken is None else min(taken, before))
        lost = {} if last is None else self.lost.load(last)
        turn = {n: t for n, t in lost.items() if self.approach.trains(self.plan, n, server_round)}
        travels, left = compress(self.compression, sent, given, turn)
        self.lost.save(server_round, left | {n: t for n, t in lost.items() if n not in turn}, began=last)
        return travels

    def evaluate_round(self, shared: Mapping[str, Tensor], server_round: int) -> dict[str, float]:
        """Return loss and metrics on the participant's own held-out data after a round."""
        return self.evaluate(self.learner, shared, self.private_after(server_round))

    def private_after(self, server_round: int) -> Tensors:
        """Return the private tensors after a round; those of its last one, where it may miss rounds."""
        last = self.state.latest(server_round) if self.plan.may_miss_rounds else server_round
        if self.approach.rounds(self.plan)[0]:
            if last is None:  # it was away before the first round, too
                return self.train_locally(self.shared_start).private
        elif not last:
            return self.learner.private_start()
        return self.state.load(last)

    def save_model(self, shared: Mapping[str, Tensor], server_round: int) -> None:
        """Write the grown model as an ordinary Hugging Face folder, and the participant's own report."""
        private = self.private_after(server_round)
        model = self.learner.materialise(shared, private)
        if steps := self.plan.schedule.finetune_steps:
            tuned = self.finetune(model, steps)
            model, metrics = tuned.model, tuned.metrics
        else:
            metrics = self.evaluate(self.learner, shared, private)
        report = {
            "name": self.name,
            "small": {k: self.prepared[k] for k in ("shape", "parameters", "metrics")},
            "grown": {
                "shape": read(model).shape.model_dump(),
                "parameters": count(model),
                "metrics": metrics,
            },
            "start": {
                "metrics": self.evaluate(
                    self.learner, self.learner.shared_start(), self.learner.private_start()
                )
            },
            "parity": self.parity().as_dict(),
            "examples": self.prepared["examples"],
            "labels": len(self.prepared["labels"]),
            "private_parameters": sum(t.numel() for t in private.values()),
        }

        def fill(folder: Path) -> None:
            self._save_pretrained(model, folder)
            write_json(folder / "parity.json", report["parity"])
            (folder / "README.md").write_text(model_card(report, self.plan), "utf-8")

        write_folder(self.folder / "model", fill)
        write_json(self.folder / "report.json", report)

    def _save_pretrained(self, model: Any, folder: Path) -> None:
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

    def parity(self) -> Parity:
        """Compare the grown model at the start with the small model, on held-out examples, in float64."""
        assert isinstance(self.learner, DualLigo)
        return parity(self.learner, self.small_model, self.test_data, self.codec)

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
            when = "while its small model was readied" if prepare else f"in round {server_round}"
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
            alike=(self.run.path, self.method, training, self.codec.vocabulary_digest()),
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
