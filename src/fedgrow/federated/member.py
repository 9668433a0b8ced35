"""A participant's part in a federation: what it trains in a round, keeps between rounds, and gives away.

Nothing here knows of messages; ``client_app`` translates.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fedgrow.approaches import APPROACHES, FED_GROW, Federated
from fedgrow.architectures import read
from fedgrow.architectures.models import count
from fedgrow.cards.participant import model_card
from fedgrow.config.plan import CompressionPlan
from fedgrow.disk.atomic import write_folder, write_json
from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression import compress, compression_down, compression_of, restore
from fedgrow.exchange.contract import GROW, LOCAL
from fedgrow.federated.state import PrivateState
from fedgrow.growth.parity import Parity
from fedgrow.learners import DualLigo, Learner, Tensors
from fedgrow.participants.participant import Participant
from fedgrow.training.loop import Fitted
from fedgrow.training.parity import parity

ROUNDING = 1e-6  # by which the same start may differ between machines


class Member(Participant):
    """A participant that takes part in a federated approach.

    Args:
        run: the run's folder.
        index: the participant's number in the plan.
        approach: what is federated: ``dual-ligo``, or a baseline that the plan lists.
    """

    def __init__(self, run: Path, index: int, approach: str = FED_GROW.name) -> None:
        super().__init__(run, index)
        if approach != FED_GROW.name and approach not in self.plan.baselines:
            raise FedgrowError(f"method {approach!r} is not in the plan; nothing of it may leave")
        found = APPROACHES[approach]
        if not isinstance(found, Federated):
            raise FedgrowError(f"method {approach!r} is not federated; nothing of it may leave")
        self.approach, self.purpose = found, approach
        own = self.folder if found is FED_GROW else self.run.approach(approach) / "participants" / self.name
        self.state = PrivateState(own / "private" / "state")
        self.lost = PrivateState(own / "private" / "lost")
        self.compression = compression_of(found.compression(self.plan))
        self.down = compression_down(found.compression(self.plan))

    @cached_property
    def learner(self) -> Learner:
        """What this participant trains, around its small model: prepared now, if it was away when all prepared theirs."""
        self.prepare()
        return self.approach.learner(self)

    @cached_property
    def shared_start(self) -> Tensors:
        """The shared tensors at the start: their names, shapes and types are what is trained together."""
        return self.approach.shared(self.run, lambda: self.learner)

    @cached_property
    def wire_start(self) -> Tensors:
        """The same as they travel: their names, shapes and types are what may leave."""
        return compress(self.compression, self.shared_start, self.shared_start, {})[0]

    def check_given(self, kind: str, server_round: int, arrays: Tensors) -> None:
        """Check what was given of Global-LiGO, as it travelled, before anything is computed with it.

        Before the first round that is the start, which everyone knows: other arrays would ask for a gradient at a point of
        the server's own choice. What baselines are given is theirs to say; they run on one machine.

        Raises:
            FedgrowError: they have other names, shapes or types than what is trained together, hold values that are not
                finite, or are not the start where they have to be.
        """
        if self.approach is not FED_GROW:
            return
        down = self.down if kind == GROW else compression_down(CompressionPlan())
        due = self.shared_start if down.exact else compress(down, self.shared_start, self.shared_start, {})[0]
        if arrays.keys() != due.keys():
            extra, missing = sorted(arrays.keys() - due.keys()), sorted(due.keys() - arrays.keys())
            raise FedgrowError(
                f"{kind}: arrays not in the plan: {extra or 'none'}; arrays of the plan not given: {missing or 'none'}"
            )
        for name, array in arrays.items():
            if (array.dtype, array.shape) != (due[name].dtype, due[name].shape):
                found, expected = (f"{a.dtype}{list(a.shape)}" for a in (array, due[name]))
                raise FedgrowError(f"{kind}: array {name!r} is {found}; the plan has {expected}")
            if not bool(array.isfinite().all()):
                raise FedgrowError(f"{kind}: array {name!r} holds values that are not finite")
        first = kind == LOCAL or (kind == GROW and server_round == 1)
        if first and not all(torch.allclose(a, due[n], rtol=ROUNDING, atol=0) for n, a in arrays.items()):
            raise FedgrowError(f"{kind}: the first round does not begin with the start that the plan says")

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
            self.save_pretrained(model, folder)
            write_json(folder / "parity.json", report["parity"])
            (folder / "README.md").write_text(model_card(report, self.plan), "utf-8")

        write_folder(self.folder / "model", fill)
        write_json(self.folder / "report.json", report)

    def parity(self) -> Parity:
        """Compare the grown model at the start with the small model, on held-out examples, in float64."""
        assert isinstance(self.learner, DualLigo)
        return parity(self.learner, self.small_model, self.test_data, self.codec)


@lru_cache(maxsize=64)
def member_at(run: str, index: int, approach: str) -> Member:
    """Return a participant by its number, kept between messages of one process."""
    return Member(Path(run), index, approach)
