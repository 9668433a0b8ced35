"""Certificates and keys, as TLS and Flower take them."""

import shutil
import socket
import ssl
import stat
import subprocess
import threading

import pytest

from fedgrow.errors import FedgrowError
from fedgrow.sites.certificates import make_certificates, make_key, read_public_key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, ["coordinator.example.org", "10.1.2.3"])
    return folder


def handshake(server, client, name: str) -> None:
    """Let a client and a server greet each other over a socket."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join()


def contexts(folder, authority):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    client = ssl.create_default_context(cafile=authority)
    return server, client


@pytest.mark.parametrize("name", ["coordinator.example.org", "10.1.2.3", "localhost", "127.0.0.1"])
def test_a_site_trusts_the_coordinator_by_every_name(certificates, name):
    handshake(*contexts(certificates, certificates / "ca.crt"), name)


def test_another_name_or_authority_is_not_trusted(certificates, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        handshake(*contexts(certificates, certificates / "ca.crt"), "elsewhere.example.org")
    make_certificates(tmp_path, ["coordinator.example.org"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*contexts(certificates, tmp_path / "ca.crt"), "coordinator.example.org")


def test_private_halves_are_for_their_owner_only(certificates, tmp_path):
    (tmp_path / "private").mkdir(mode=0o755)  # by an earlier fedgrow
    make_key(tmp_path / "private" / "key")
    for path in (certificates / "server.key", tmp_path / "private" / "key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_made_once_and_flower_takes_it(tmp_path):
    public = make_key(tmp_path / "key")
    assert make_key(tmp_path / "key") == public
    assert (tmp_path / "key.pub").read_text() == public + "\n"
    assert public.startswith("ecdsa-sha2-nistp384 ")
    assert read_public_key(public) == read_public_key(f"  {public} a comment\n")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x"],
)
def test_what_is_no_such_key_is_refused(text):
    with pytest.raises(FedgrowError, match=r"the key is (no public key|not on a NIST curve)"):
        read_public_key(text)


def test_a_damaged_private_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("-----BEGIN nothing")
    with pytest.raises(FedgrowError, match="remove it to have a new one made"):
        make_key(tmp_path / "key")


@pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed, which makes such a key"
)
def test_a_key_with_a_passphrase_is_refused(tmp_path):
    make = ("ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "secret", "-f", str(tmp_path / "key"))
    subprocess.run(make, check=True, timeout=60)
    with pytest.raises(FedgrowError, match=r"it cannot be read .*; remove it to have a new one made"):
        make_key(tmp_path / "key")
