"""A coordinator and its sites in one process: the real ones, with a Grid between them instead of Flower's processes."""

import contextlib

from flwr.proto.node_pb2 import NodeInfo

from fedgrow.config.load import load_plan
from fedgrow.config.site import load_site
from fedgrow.exchange.wire import become_server, from_bytes
from fedgrow.federated import collect
from fedgrow.federated.local_grid import FIRST_NODE, LocalGrid
from fedgrow.sites import coordinator, introduction
from fedgrow.sites.coordination import Coordination
from fedgrow.sites.site import Site
from tests.sites.making import SHAPES, write_all


class NearGrid(LocalGrid):
    """Carries messages to the sites that are there; what is for others waits.

    Attributes:
        sites: by name.
        away: names of sites that are not there.
        asked: name of the site and type of every message that was delivered, in order.
        before: called with the name of the site and each message before it is delivered.
    """

    def __init__(self, sites, before):
        super().__init__(None, len(sites), {})
        self.sites, self.before = sites, before
        self.away, self.asked = set(), []

    def get_nodes(self):
        return [NodeInfo(node_id=FIRST_NODE + i) for i, n in enumerate(self.sites) if n not in self.away]

    def pull_messages(self, message_ids):
        return [reply for one in list(message_ids) if (reply := self._answer(one)) is not None]

    def _answer(self, message_id):
        if message_id not in self._waiting:
            return None
        message = from_bytes(self._waiting[message_id])
        name = list(self.sites)[message.metadata.dst_node_id - FIRST_NODE]
        self.before(name, message)
        if name in self.away:
            return None
        del self._waiting[message_id]
        self.asked.append((name, message.metadata.message_type))
        return from_bytes(self._wire("up", self.sites[name].reply(message)))


class NearControl:
    """Stands for the SuperLink's commands."""

    runs = 0

    def start_run(self):
        NearControl.runs += 1
        become_server(NearControl.runs)
        return NearControl.runs

    def stop_run(self, run_id):
        pass

    def nodes(self):
        return {}


class NearCoordinator(coordinator.Coordinator):
    """A coordinator whose runs are on a NearGrid."""

    grid: NearGrid

    @contextlib.contextmanager
    def _link(self):
        self.control = NearControl()
        yield

    def _register_all(self):
        self.nodes = {name: FIRST_NODE + i for i, name in enumerate(self.at.plan.names)}

    def _token(self, tasks):
        return ""

    def _alive(self):
        pass


class Near:
    """A federation in a folder, whose coordinator can be begun as often as it takes.

    Args:
        folder: where everything is written.
        monkeypatch: pytest's.
        changes: of the plan.
    """

    def __init__(self, folder, monkeypatch, **changes):
        for name, seconds in (("POLL", 0.01), ("LOOK_EVERY", 0.01), ("AGAIN_AFTER", 0.02)):
            monkeypatch.setattr(collect, name, seconds)
        monkeypatch.setattr(introduction, "AGAIN_AFTER", 0.02)
        monkeypatch.setattr(coordinator, "END_WITHIN", 0.5)
        monkeypatch.setattr(coordinator, "sleep", lambda _: None)
        monkeypatch.setattr(coordinator, "Tasks", lambda *_, **__: Closed())
        monkeypatch.setattr(coordinator, "serving", lambda *_: contextlib.nullcontext(self.grid))
        (folder / "ca.crt").write_text("x")
        write_all(folder, "127.0.0.1:9", folder / "ca.crt", **changes)
        self.folder = folder
        plan = load_plan(folder / "plan.yaml")
        self.at = Coordination.create(folder / "coordinator", plan, "127.0.0.1", 9, [])
        self.sites = {name: self.site(name) for name in SHAPES}
        self.before = lambda name, message: None
        self.grid = NearGrid(self.sites, lambda name, message: self.before(name, message))

    def site(self, name):
        """Begin a site, or begin it again."""
        return Site(load_site(self.folder / f"{name}.yaml"), lambda plan, digest: True)

    def coordinator(self):
        """Begin the coordinator, or begin it again."""
        return NearCoordinator(Coordination.open(self.folder / "coordinator"))

    def asked(self, name):
        """Return the types of messages that were delivered to a site, in order."""
        return [kind for to, kind in self.grid.asked if to == name]


class Closed:
    """Something that can be closed."""

    def close(self):
        pass
