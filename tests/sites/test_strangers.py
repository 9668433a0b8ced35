"""A real SuperLink behind its guard, and those who have no business there."""

import http.server
import math
import socket
import ssl
import stat
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from flwr.proto.control_pb2 import ListNodesRequest

from fedgrow.config.load import load_plan
from fedgrow.errors import FedgrowError
from fedgrow.sites import clock
from fedgrow.sites.certificates import make_certificates, make_key, read_public_key, write_private
from fedgrow.sites.children import Child, free_port, wait_until_listening
from fedgrow.sites.coordination import Coordination
from fedgrow.sites.coordinator import SUPERLINK, Coordinator
from fedgrow.sites.failure import Failure
from fedgrow.sites.flower import Control, Endpoint, Tasks, superlink_arguments, supernode_arguments
from fedgrow.sites.grid import LinkLost
from fedgrow.sites.guarded_superlink import MOST
from fedgrow.sites.join import SUPERNODE
from tests.sites.making import write_all

WITHIN = 120.0  # seconds


@pytest.fixture(scope="module")
def link(tmp_path_factory):
    """A coordinator's SuperLink, its port, and its folder."""
    folder = tmp_path_factory.mktemp("link")
    port = free_port()
    write_all(folder, f"127.0.0.1:{port}", folder / "ca.crt")
    at = Coordination.create(folder / "coordinator", load_plan(folder / "plan.yaml"), "127.0.0.1", port, [])
    arguments = superlink_arguments(at.private, "127.0.0.1", port, at.certificates, at.secret)
    child = Child(SUPERLINK, arguments, at.private / "flower", at.private / "superlink.log")
    try:
        wait_until_listening(child, "127.0.0.1", port, WITHIN)
        yield at, port, folder
    finally:
        child.end()
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", port)) != 0


def call(link, path: str, source: str, content=b"") -> int:
    """Return the status of a call from an address of this machine, without the secret."""
    at, port, _ = link
    context = ssl.create_default_context(cafile=at.certificates / "ca.crt")
    transport = httpx.HTTPTransport(verify=context, local_address=source)
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    with httpx.Client(transport=transport, headers=headers) as client:
        return client.post(f"https://127.0.0.1:{port}/v1/{path}", content=content).status_code


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize(
    "path",
    [
        "control/list-runs",
        "control/start-run",
        "control/register-node",
        "runtime/acquire-task",
        "runtime/get-nodes",
    ],
)
def test_commands_are_the_coordinators_only(link, path, source):
    assert call(link, path, source) == 403


@pytest.fixture
def coordinator(link, monkeypatch):
    one = Coordinator(link[0])
    one.control = Control(one.place)
    monkeypatch.setattr(one, "_alive", lambda: None)
    yield one
    one.control.close()


def test_the_coordinator_registers_invited_keys_once(link, coordinator, monkeypatch):
    at = link[0]
    monkeypatch.setattr("fedgrow.sites.coordinator.sleep", lambda _: at.invite("bob", own(at, "bob")))
    at.invite("ada", own(at, "ada"))
    at.invite("cyd", own(at, "cyd"))
    coordinator._register_all()
    nodes = dict(coordinator.nodes)
    assert list(nodes) == at.plan.names
    coordinator._register_all()
    assert coordinator.nodes == nodes


def test_a_key_that_was_replaced_is_let_go_of(link, coordinator, monkeypatch):
    at = link[0]
    for name in at.plan.names:
        at.invite(name, own(at, name))
    coordinator._register_all()
    before = dict(coordinator.nodes)
    monkeypatch.undo()  # of _alive
    monkeypatch.setattr(coordinator, "child", SimpleNamespace(running=lambda: True))
    coordinator._alive()
    at.invite("bob", own(at, "bob's next"), replace=True)
    coordinator._looked = -math.inf
    with pytest.raises(LinkLost, match="the key of bob was replaced"):
        coordinator._alive()
    coordinator._looked = -math.inf
    coordinator._register_all()
    assert {name for name in before if before[name] != coordinator.nodes[name]} == {"bob"}
    there = coordinator.control._client.ListNodes(ListNodesRequest()).nodes_info
    keys = {node.public_key for node in there if node.status != "unregistered"}
    assert read_public_key(own(at, "bob's next")) in keys
    assert read_public_key(own(at, "bob")) not in keys
    coordinator._alive()


def own(at, name: str) -> str:
    return make_key(at.private / name)


def test_others_cannot_enter_the_private_folder(link):
    at = link[0]
    assert (at.private / "superlink.db").is_file()
    assert stat.S_IMODE(at.private.stat().st_mode) == 0o700


def test_more_than_a_site_sends_is_not_read(link):
    assert call(link, "fleet/push-object", "127.0.0.2", bytes(MOST)) == 400
    assert call(link, "fleet/push-object", "127.0.0.2", bytes(MOST + 1)) == 413


@pytest.mark.parametrize(("off", "said"), [(0, None), (40, "s ahead of"), (-200, None), (-400, "s behind")])
def test_a_clock_that_is_not_admitted_is_told(link, monkeypatch, off, said):
    at, port, _ = link
    real = time.time
    monkeypatch.setattr("fedgrow.sites.clock.time.time", lambda: real() + off)
    difference = clock.ahead(f"127.0.0.1:{port}", at.certificates / "ca.crt")
    monkeypatch.undo()
    assert difference == pytest.approx(off, abs=2)
    text = clock.told(difference)
    assert (said in text) if said else text is None


def test_asking_for_the_time_sends_nothing_else(link, monkeypatch):
    at, _, _ = link
    heard = []

    class Heard(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, dict(self.headers)))
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Heard) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(at.certificates / "server.crt", at.certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        difference = clock.ahead(f"127.0.0.1:{server.server_port}", at.certificates / "ca.crt")
        thread.join()
    assert abs(difference) < 2
    ((path, headers),) = heard
    assert path == "/"
    assert {name.lower() for name in headers} <= {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
    }


def test_a_clock_is_not_guessed_where_nobody_answers(link):
    port = free_port()
    with pytest.raises(
        FedgrowError, match=rf"127\.0\.0\.1:{port} does not answer as the coordinator of .*refused"
    ):
        clock.ahead(f"127.0.0.1:{port}", link[0].certificates / "ca.crt")


def test_another_authority_is_told(link, tmp_path):
    make_certificates(tmp_path, [])
    with pytest.raises(
        FedgrowError, match=r"does not answer as the coordinator of .*CERTIFICATE_VERIFY_FAILED"
    ):
        clock.ahead(f"127.0.0.1:{link[1]}", tmp_path / "ca.crt")


def test_a_task_is_not_given_without_the_secret(link):
    at, port, _ = link
    tasks = Tasks(
        Endpoint(f"127.0.0.1:{port}", (at.certificates / "ca.crt").read_bytes(), b"1" * 64), server=True
    )
    with pytest.raises(Failure):
        tasks.next()
    tasks.close()


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_a_site_without_a_key_is_refused(link, source):
    assert call(link, "fleet/pull-messages", source) == 401


def test_a_plain_connection_is_refused(link):
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"http://127.0.0.1:{link[1]}/v1/fleet/pull-messages", content=b"")


def as_supernode(link, certificate) -> str:
    """Return the last words of a SuperNode with a key that nobody registered."""
    _, port, folder = link
    private = folder / "stranger"
    make_key(private / "key")
    write_private(private / "secret", b"0" * 64)
    arguments = supernode_arguments(
        f"127.0.0.1:{port}", certificate, private / "key", free_port(), private / "secret"
    )
    child = Child(
        SUPERNODE, [*arguments, "--max-wait-time", "3"], private / "flower", private / "supernode.log"
    )
    end = time.monotonic() + WITHIN
    try:
        while child.running():
            assert time.monotonic() < end, child.last_words()
            time.sleep(0.2)
    finally:
        child.end()
    return child.last_words(40)


def test_a_site_that_nobody_registered_is_refused(link):
    assert "Exit Code: 305" in as_supernode(link, link[0].certificates / "ca.crt")


def test_a_site_does_not_talk_to_another_coordinator(link):
    make_certificates(link[2] / "another", ["127.0.0.1"])
    assert "CERTIFICATE_VERIFY_FAILED" in as_supernode(link, link[2] / "another" / "ca.crt")
