"""The coordinator at work: a SuperLink beside it, a Flower run beneath it, and the federation over both.

Whatever ends the SuperLink or the run, the federation goes on from its last checkpoint, in a new run.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic, sleep, time
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedgrow.approaches import FED_GROW
from fedgrow.disk.atomic import write_json, write_text
from fedgrow.disk.events import emit
from fedgrow.disk.lock import Lock
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS, CONFIG, END, PARTICIPANT, PLAN
from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.server_app import Federation
from fedgrow.federated.strategy import metrics_of
from fedgrow.report.coordinated import report
from fedgrow.runs.operator import write_operator
from fedgrow.sites.certificates import check_call
from fedgrow.sites.children import Child, EndedEarly, NotUp, wait_until_free, wait_until_listening
from fedgrow.sites.coordination import Coordination, introducing
from fedgrow.sites.failure import Failure
from fedgrow.sites.flower import Control, Endpoint, Tasks, serving, superlink_arguments
from fedgrow.sites.grid import LinkLost, SiteGrid
from fedgrow.sites.introduction import Introduction
from fedgrow.sites.status import seen_at, status_of

SUPERLINK = "from fedgrow.sites.guarded_superlink import main; main()"
UP_WITHIN = 60.0  # seconds for the SuperLink to listen, and for a run to begin
FREE_WITHIN = 10.0  # seconds for a SuperLink that has lost its coordinator to end
STATUS_EVERY = 2.0  # seconds
END_WITHIN = 30.0  # seconds for the sites to hear that it is over
MOST_RESTARTS = 20  # without a round in between


class Coordinator:
    """Runs a coordination to its end.

    Args:
        coordination: its folder.
    """

    def __init__(self, coordination: Coordination) -> None:
        self.at = coordination
        self.run = coordination.run
        self.place = Endpoint(
            f"127.0.0.1:{coordination.record.port}",
            (coordination.certificates / "ca.crt").read_bytes(),
            coordination.secret.read_bytes(),
        )
        self.child: Child | None = None
        self.control: Control | None = None
        self.nodes: dict[str, int] = {}
        self.seen = {name: seen.last_seen for name, seen in seen_at(coordination).items() if seen.last_seen}
        self._keys: dict[str, bytes] = {}  # as they are registered
        self._looked = 0.0
        self._was_up = False  # a SuperLink, once

    def carry_out(self) -> None:
        """Run the federation to its end, over as many SuperLinks and runs as it takes.

        Raises:
            FedgrowError: it cannot go on; the text says why, and the folder can be gone on with.
        """
        with Lock(self.run.path):
            if self.run.state["state"] != "finished":
                self._carry_out()

    def _carry_out(self) -> None:
        check_call(self.at.certificates)  # they may have run out since they were made
        restarts, at = 0, self._round()
        self.run.note(state="running")
        try:
            while True:
                try:
                    with self._link():
                        self._once()
                    break
                except LinkLost as error:
                    emit(self.run.path, "link lost", reason=str(error))
                    restarts = 1 if self._round() > at else restarts + 1
                    at = self._round()
                    if restarts > MOST_RESTARTS:
                        raise FedgrowError(
                            f"{error}, {MOST_RESTARTS} times without a round in between"
                        ) from None
                    sleep(min(2.0 * restarts, 30.0))
        except KeyboardInterrupt:
            self.run.note(state="interrupted")
            raise
        except Exception:
            self.run.note(state="failed")
            raise
        finally:
            self._status()
        self.run.note(state="finished")
        emit(self.run.path, "finished")
        self._status()

    def _round(self) -> int:
        last = Checkpoints(self.run.path).last()
        return last.record.round if last else -1

    @contextlib.contextmanager
    def _link(self) -> Iterator[None]:
        """Have a SuperLink, and connections to it."""
        self.at.private.chmod(0o700)  # Flower's database holds what takes a run's tasks
        record = self.at.record
        wait_until_free(record.host, record.port, FREE_WITHIN)
        arguments = superlink_arguments(
            self.at.private, record.host, record.port, self.at.certificates, self.at.secret
        )
        self.child = Child(
            SUPERLINK, arguments, self.at.private / "flower", self.at.private / "superlink.log"
        )
        try:
            wait_until_listening(self.child, "127.0.0.1", record.port, UP_WITHIN)
            self._was_up = True
            self.control = Control(self.place)
            yield
        except NotUp as error:
            if isinstance(error, EndedEarly) and not self._was_up:  # what is wrong is not going to pass
                raise
            raise LinkLost(str(error)) from None
        except Failure as error:
            raise LinkLost(f"the SuperLink does not answer ({type(error).__name__})") from None
        finally:
            if self.control is not None:
                self.control.close()
            self.control = None
            self.child.end()

    def _once(self) -> None:
        """Carry out one Flower run: what is left of the federation."""
        self._register_all()
        assert self.control is not None
        run_id = self.control.start_run()
        tasks = Tasks(self.place, server=True)
        try:
            token = self._token(tasks)
        finally:
            tasks.close()
        try:
            with serving(self.place, token) as grid:
                sites = SiteGrid(grid, [self.nodes[name] for name in self.at.plan.names])
                federation = Federation(sites, self.run.path, FED_GROW.name, self._alive)
                self._introduce(federation, sites)
                federation.train()
                self._write_results()  # now: saving waits for sites, which may have saved and left
                federation.save()
                self._end(sites)
        finally:
            self.control.stop_run(run_id)

    def _token(self, tasks: Tasks) -> str:
        end = monotonic() + UP_WITHIN
        while (token := tasks.next()) is None:
            self._alive()
            if monotonic() > end:
                raise LinkLost("the run did not begin in time")
            sleep(0.2)
        return token

    def _register_all(self) -> None:
        """Register the keys of the sites, waiting for those that are not invited yet.

        Raises:
            FedgrowError: some are not invited within the plan's patience.
        """
        end = monotonic() + self.at.plan.faults.patience
        told: set[str] = set()
        self._keys = {}
        while True:
            self._alive()
            known = self._registered()
            missing = [name for name in self.at.plan.names if name not in known]
            self.nodes = {name: known[name] for name in self.at.plan.names if name in known}
            if not missing:
                return
            if monotonic() > end:
                raise FedgrowError(
                    f"{', '.join(missing)} not invited within {self.at.plan.faults.patience:.0f} s (faults.patience); "
                    "`fedgrow invite` them, and go on with `fedgrow server --resume`"
                )
            if set(missing) != told:
                told = set(missing)
                emit(self.run.path, "waiting", invited=sorted(self.nodes), not_invited=missing)
            sleep(1.0)

    def _registered(self) -> dict[str, int]:
        """Return the node of every invited site, registering those that are not yet; a key that was replaced is let go."""
        assert self.control is not None
        found, nodes, self._keys = self.control.nodes(), dict[str, int](), self.at.keys()
        for name, key in self._keys.items():
            known = found.get(name)
            if known is not None and known.public_key == key:
                nodes[name] = int(known.node_id)
                continue
            if known is not None:
                self.control.unregister(int(known.node_id))
                emit(self.run.path, "unregistered", name=name)
            nodes[name] = self.control.register(name, key)
            emit(self.run.path, "registered", name=name)
        return nodes

    def _introduce(self, federation: Federation, sites: SiteGrid) -> None:
        """Show every site the plan; one that has approved it says so. Who comes late is shown it then."""
        config = ConfigRecord({**introducing(self.at.experiment, self.at.shown)})
        content = RecordDict({ARRAYS: ArrayRecord(), CONFIG: config})

        def tell(event: str, **values: Any) -> None:
            emit(self.run.path, event, method=FED_GROW.name, **values)

        introduction = Introduction(federation.grid, self.at.plan, content, sites.nodes, tell)
        last = federation.checkpoints.last()
        if last is None or last.record.total_up is None:  # else nothing is left to ask: nobody is waited for
            tell("asked", step=PLAN, participants=len(self.nodes))
            answers = federation.collect(introduction.messages(sites.nodes))
            introduction.known |= {sites.nodes[int(metrics_of(a)[PARTICIPANT])] for a in answers}  # type: ignore[arg-type]
        sites.introduction = introduction

    def _end(self, sites: SiteGrid) -> None:
        """Tell the sites that it is over, without waiting long for who does not hear it."""
        content = RecordDict({ARRAYS: ArrayRecord(), CONFIG: ConfigRecord({"server-round": 0})})
        told: set[int] = set()
        waiting: set[str] = set()
        end = monotonic() + END_WITHIN
        with contextlib.suppress(LinkLost):
            while (waiting or len(told) < len(sites.nodes)) and monotonic() < end:
                there = {int(node.node_id) for node in sites.get_nodes()} - told
                if there:
                    waiting |= set(
                        sites.push_messages([Message(content, n, END, group_id="0") for n in there])
                    )
                    told |= there
                for reply in sites.pull_messages(sorted(waiting)) if waiting else ():
                    waiting.discard(reply.metadata.reply_to_message_id)
                sleep(0.5)

    def _write_results(self) -> None:
        last = Checkpoints(self.run.path).last()
        assert last is not None
        write_operator(self.run.path / "operator", self.at.plan, last.arrays, last.record.round)
        write_text(self.run.path / "report.md", report(status_of(self.run.path), self.at.plan))

    def _alive(self) -> None:
        """Say how things stand, from time to time.

        Raises:
            LinkLost: the SuperLink has ended, or a site's key was replaced, so that its node is another one.
        """
        assert self.child is not None
        if not self.child.running():
            raise LinkLost("the SuperLink ended")
        if monotonic() - self._looked > STATUS_EVERY:
            self._looked = monotonic()
            self._status()
            for name, key in self.at.keys().items():
                if self._keys.get(name, key) != key:
                    raise LinkLost(f"the key of {name} was replaced")

    def _status(self) -> None:
        """Write ``status.json``: who is there, and who was last seen when."""
        people = {}
        if self.control is not None:
            with contextlib.suppress(*Failure):
                for name, node in self.control.nodes().items():
                    people[name] = node.status == "online" and node.online_until > time()
                    if people[name]:
                        self.seen[name] = _now()
        sites = {
            name: {"online": people.get(name, False), "last_seen": self.seen.get(name)}
            for name in self.at.plan.names
        }
        state = self.run.state["state"]
        write_json(self.at.folder / "status.json", {"time": _now(), "state": state, "sites": sites})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
