"""The ServerApp: ready the small models, run the schedule's phases, checkpoint every round, have the models saved."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedgrow.approaches import APPROACHES, FED_GROW, Federated
from fedgrow.approaches.schedule import taking_part
from fedgrow.disk.events import emit
from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression import compress, compression_down, compression_of, restore
from fedgrow.exchange.contract import (
    ARRAYS,
    CONFIG,
    GIVEN,
    LOCAL,
    PARTICIPANT,
    PREPARE,
    SAVE,
    TAKEN,
    WEIGHT,
    Contract,
)
from fedgrow.exchange.meter import MeteredGrid
from fedgrow.exchange.records import from_record, to_record
from fedgrow.federated.checkpoint import Checkpoint, Checkpoints, RoundRecord
from fedgrow.federated.collect import Collector
from fedgrow.federated.spool import Spool
from fedgrow.federated.strategy import Aggregation, checked, metrics_of, readdress
from fedgrow.learners import Tensors
from fedgrow.runs.folder import RunFolder

NODES_WITHIN = 120.0  # seconds until all nodes must be there
ROUND_WITHIN = 12 * 3600.0  # seconds; a site that needs longer has failed

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run a federation to its end, or go on from its last checkpoint."""
    Federation(grid, Path(str(context.run_config["run"])), str(context.run_config["method"])).run()


class Federation:
    """One federation: its folder, its strategy, and the grid that carries its messages.

    Args:
        grid: what carries the messages.
        run: the run's folder.
        method: what is federated.
        alive: raises where there is no reason to wait for sites any longer; given where participants are sites of their
            own, which may be away: then the plan's ``faults`` say what happens.
    """

    def __init__(self, grid: Grid, run: Path, method: str, alive: Callable[[], None] | None = None) -> None:
        self.run_folder = RunFolder(run)
        self.plan = self.run_folder.plan
        self.method = method
        approach = APPROACHES[method]
        assert isinstance(approach, Federated)
        self.approach = approach
        self.checkpoints = Checkpoints(self.run_folder.approach(method))
        strategy = approach.strategy(self.plan)
        self.aggregation = Aggregation(strategy.name, len(self.plan.participants), dict(strategy.options))
        self.compression = compression_of(approach.compression(self.plan))
        self.down = compression_down(approach.compression(self.plan))
        self.grid = MeteredGrid(grid)
        self.taken = [0] * len(self.plan.participants)  # the last round of each whose answer was taken
        self.held: Tensors = {}  # what changes are added to, where participants are given a rounding of it
        self.along = approach.along(self.plan)
        self.spool = Spool(self.run_folder.approach(method) / "replies")
        self.collect = self._everyone if alive is None else self._collector(alive)

    def _collector(self, alive: Callable[[], None]) -> Collector:
        start = self.approach.start(self.run_folder)
        travels = compress(self.compression, start, start, {})[0]
        people = range(len(self.plan.participants))
        return Collector(
            self.grid,
            self.plan.faults,
            dict(zip(people, self.grid.get_node_ids(), strict=True)),
            self.plan.names,
            {i: Contract.of(travels, self.plan.metrics, i, along=self.along) for i in people},
            self._read,
            self._emit,
            alive,
        )

    @cached_property
    def nodes(self) -> list[int]:
        """Every participant's node; Ray's nodes are in no order, and say who they are when they are asked."""
        if self.run_folder.state["engine"] != "ray":
            return list(self.grid.get_node_ids())
        up, down = self.grid.up, self.grid.down
        replies = self._ask(PREPARE, 0, None)
        self.grid.up, self.grid.down = up, down  # nothing that a federation would send
        return [int(reply.metadata.src_node_id) for reply in replies]

    def run(self) -> None:
        """Run all that is left to do."""
        self.train()
        self.save()

    def train(self) -> None:
        """Run the rounds that are left."""
        total = self.plan.schedule.rounds
        self._wait_for_nodes()
        last = self.checkpoints.last()
        self._emit("started", rounds=total, from_round=last.record.round if last else 0)
        if last is None:
            last = self._begin()
        else:
            self._check_arrays(last)
            self.aggregation.restore(last.strategy)
            self.grid.up, self.grid.down = last.record.bytes_up, last.record.bytes_down
            self.taken = list(last.record.taken)
        while last.record.round < total:
            last = self._round(last.record.round + 1, to_record(last.arrays))

    def _check_arrays(self, last: Checkpoint) -> None:
        """Refuse to go on with arrays that this fedgrow does not make of the plan."""
        due, had = (
            {name: tuple(array.shape) for name, array in arrays.items()}
            for arrays in (self.approach.start(self.run_folder), last.arrays)
        )
        if had != due:
            name = min(n for n in {*had, *due} if had.get(n) != due.get(n))
            raise FedgrowError(
                f"{self.checkpoints.folder}: its array {name!r} has shape {had.get(name)}, this fedgrow makes "
                f"{due.get(name)} of the plan; another version began the run: go on with that, or begin in a new folder"
            )

    def save(self) -> None:
        """Have everyone's grown model saved, unless that is done."""
        last, keeps = self.checkpoints.last(), self.run_folder.state.get("models", True)
        assert last is not None
        if self.approach is FED_GROW and keeps and last.record.total_up is None:
            self._ask(SAVE, last.record.round, to_record(last.arrays))
            totals = {"total_up": self.grid.up, "total_down": self.grid.down}
            self.checkpoints.add(last.record.round, totals)
            self._emit("saved")

    def _begin(self) -> Checkpoint:
        """Have the small models prepared, and with them, in two phases, Local-LiGO."""
        self._ask(PREPARE, 0, None)
        self._emit("prepared")
        arrays = to_record(self.approach.start(self.run_folder))
        if self.approach.rounds(self.plan)[0]:
            self._ask(LOCAL, 0, arrays)
        return self._checkpoint(0, arrays, {})

    def _round(self, server_round: int, arrays: ArrayRecord) -> Checkpoint:
        total = self.plan.schedule.rounds
        messages = self.aggregation.train(server_round, arrays, self.grid)
        self.spool.clear()
        if self.plan.schedule.participation < 1:
            chosen = {self.nodes[index] for index in taking_part(self.plan, server_round)}
            messages = [m for m in messages if m.metadata.dst_node_id in chosen]
        if self.plan.may_miss_rounds:
            for message in messages:
                index = self.nodes.index(message.metadata.dst_node_id)
                message.content.config_records[CONFIG][TAKEN] = self.taken[index]
        replies = self._exchange(self._smaller(self._cut(messages, arrays, server_round), arrays))
        for reply in replies:
            self.taken[int(metrics_of(reply)[PARTICIPANT])] = server_round  # type: ignore[arg-type]
        arrays = self._aggregate(server_round, arrays)
        losses = self._by_participant(replies, "loss")
        if self.along:
            given = {name: self._by_participant(replies, GIVEN + name) for name in self.plan.metrics}
            before = self.checkpoints.record(server_round - 1).metrics
            self.checkpoints.add(server_round - 1, {"metrics": before | given})
        metrics = {} if self.along and server_round < total else self._evaluate(server_round, arrays)
        return self._checkpoint(server_round, arrays, {"train_loss": losses, **metrics})

    def _evaluate(self, server_round: int, arrays: ArrayRecord) -> dict[str, list[float | None]]:
        messages = self.aggregation.evaluate(server_round, arrays, self.grid)
        replies = self._exchange(self._cut(messages, arrays, server_round))
        return {name: self._by_participant(replies, name) for name in sorted(self.plan.metrics)}

    def _cut(self, messages: list[Message], held: ArrayRecord, server_round: int) -> list[Message]:
        """Give every participant its part of what the server holds, where an approach sends parts."""
        nodes = list(self.grid.get_node_ids())
        arrays = from_record(held)
        for message in messages:
            index = nodes.index(message.metadata.dst_node_id)
            part = self.approach.down(self.run_folder, arrays, index, server_round)
            if part is not arrays:
                message.content[ARRAYS] = to_record(part)
        return messages

    def _smaller(self, messages: list[Message], held: ArrayRecord) -> list[Message]:
        """Write what is trained on in fewer bytes, where the plan says so: as its change since the start."""
        if not self.down.exact:
            start, self.held = self.approach.start(self.run_folder), from_record(held)
            travels = to_record(compress(self.down, self.held, start, {})[0])
            for message in messages:
                message.content[ARRAYS] = travels
        return messages

    def _aggregate(self, server_round: int, held: ArrayRecord) -> ArrayRecord:
        own = self.approach.aggregate(self.run_folder, from_record(held), self.spool, server_round)
        if own is None:
            kept = {n: a for n, a in held.items() if not self.approach.trains(self.plan, n, server_round)}
            average = self.aggregation.aggregate(server_round, self.spool, kept)
        else:
            average = to_record(own)
        self.spool.clear()
        return average

    def _ask(self, message_type: str, server_round: int, arrays: ArrayRecord | None) -> list[Message]:
        content = RecordDict(
            {ARRAYS: arrays or ArrayRecord(), CONFIG: ConfigRecord({"server-round": server_round})}
        )
        template = [Message(content, node, message_type) for node in self.grid.get_node_ids()]
        return self._exchange(readdress(m, message_type, server_round) for m in template)

    def _exchange(self, messages: Iterable[Message]) -> list[Message]:
        messages = list(messages)
        self._emit("asked", step=messages[0].metadata.message_type, participants=len(messages))
        return self.collect(messages)

    def _everyone(self, messages: list[Message]) -> list[Message]:
        """Return the answers of all, in the participants' order; one that fails, or does not answer, ends the run."""
        requests = {int(m.metadata.dst_node_id): m for m in messages}
        replies: dict[int, Message] = {}
        for reply in self.grid.send_and_receive(messages, timeout=ROUND_WITHIN):
            index = int(metrics_of(checked(reply))[PARTICIPANT])  # type: ignore[arg-type]
            try:
                self._read(index, requests[int(reply.metadata.src_node_id)], reply)
            except FedgrowError as error:
                raise FedgrowError(f"participant {self.plan.names[index]}: {error}") from None
            replies[index] = reply
        if len(replies) < len(messages):
            raise FedgrowError(
                f"{len(messages) - len(replies)} of {len(messages)} participants did not answer"
            )
        return [replies[index] for index in sorted(replies)]

    def _read(self, index: int, request: Message, reply: Message) -> None:
        """Put a participant's arrays, read back from how they travelled, on disk, and out of memory.

        Raises:
            FedgrowError: they are not what the plan's compression makes, or a larger change than it takes.
        """
        if ARRAYS not in reply.content:
            return
        given = from_record(request.content.array_records[ARRAYS]) if self.down.exact else self.held
        arrays = restore(self.compression, from_record(reply.content.array_records[ARRAYS]), given)
        for name, array in arrays.items():
            if not bool(array.isfinite().all()):
                raise FedgrowError(f"array {name!r} holds values that are not finite, once it is read back")
        most = self.plan.faults.largest_change
        if most is not None and self.approach is FED_GROW:  # it is said of the operator
            change = math.sqrt(sum(float(((arrays[n] - given[n]).double() ** 2).sum()) for n in arrays))
            if not change <= most:
                raise FedgrowError(
                    f"a change of norm {change:.3g}; at most {most:.3g} is taken (faults.largest_change)"
                )
        self.spool.put(index, arrays, int(metrics_of(reply)[WEIGHT]))  # type: ignore[arg-type]
        del reply.content[ARRAYS]

    def _checkpoint(
        self, server_round: int, arrays: ArrayRecord, metrics: dict[str, list[float | None]]
    ) -> Checkpoint:
        values = {name: array.numpy() for name, array in arrays.items()}
        record = RoundRecord(
            round=server_round,
            metrics=metrics,
            taken=self.taken,
            bytes_up=self.grid.up,
            bytes_down=self.grid.down,
        )
        checkpoint = Checkpoint(record, values, self.aggregation.state())
        self.checkpoints.write(checkpoint)
        self._emit(
            "round", round=server_round, metrics=metrics, bytes_up=self.grid.up, bytes_down=self.grid.down
        )
        return checkpoint

    def _by_participant(self, replies: list[Message], name: str) -> list[float | None]:
        """Return a metric of everyone in the plan's order; None for who did not answer."""
        found = {int(metrics_of(r)[PARTICIPANT]): float(metrics_of(r)[name]) for r in replies}  # type: ignore[arg-type]
        return [found.get(index) for index in range(len(self.plan.participants))]

    def _emit(self, event: str, **values: object) -> None:
        emit(self.run_folder.path, event, method=self.method, **values)

    def _wait_for_nodes(self) -> None:
        expected, end = len(self.plan.participants), monotonic() + NODES_WITHIN
        while (found := len(list(self.grid.get_node_ids()))) < expected:
            if monotonic() > end:
                raise FedgrowError(
                    f"only {found} of {expected} participants were there after {NODES_WITHIN:.0f} s"
                )
            sleep(0.2)
