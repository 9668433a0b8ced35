"""The coordinator's folder: which plans are for sites, whose keys it takes, what it says of itself."""

import errno
import shutil

import pytest

from fedgrow.config.load import load_plan
from fedgrow.errors import FedgrowError
from fedgrow.runs.folder import digest_of
from fedgrow.sites.certificates import make_certificates, make_key, read_public_key
from fedgrow.sites.coordination import Coordination, plan_text
from fedgrow.sites.status import status_of
from tests.sites.making import write_all


@pytest.fixture
def folder(tmp_path):
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    return tmp_path


def create(folder, *overrides, host: str = "127.0.0.1", name: str = "me.example.org", **more) -> Coordination:
    plan = load_plan(folder / "plan.yaml", overrides)
    return Coordination.create(folder / "out", plan, host, 9, [name], **more)


WRONG = {
    "what a site brings": (
        "participants.0.tokenizer=bert",
        "participants: ada has tokenizer; a site says that itself",
    ),
    "data": ("data={source: bundled:digits}", "data: sites bring their own"),
    "a trained operator": ("operator.trained=somewhere", r"operator\.trained: it names a folder"),
    "a baseline": ("baselines=[small]", "baselines: they are for `fedgrow simulate`"),
    "no intermediate": (
        "intermediate=auto",
        "intermediate: name a shape, for not all small models are known here",
    ),
    "no family": ("family=null", "family: name it, for no small model is given"),
}


@pytest.mark.parametrize(("override", "why"), WRONG.values(), ids=WRONG)
def test_a_plan_that_is_not_for_sites_is_refused(folder, override, why):
    with pytest.raises(FedgrowError, match=why):
        create(folder, override)
    assert not (folder / "out").exists()


def test_what_is_made_opens_again(folder):
    made = create(folder)
    again = Coordination.open(folder / "out")
    assert (again.experiment, again.calls) == (made.experiment, "me.example.org:9")
    assert digest_of(again.shown) == digest_of(plan_text(made.plan))
    found = status_of(folder / "out")
    assert (found["state"], found["round"], found["rounds"]) == ("not running", 0, 3)
    assert not any(site["invited"] or site["online"] for site in found["sites"].values())


def test_a_folder_is_whole_or_not_there(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fedgrow.sites.coordination.write_json", full)
    with pytest.raises(FedgrowError, match=r"--out .*: the folder cannot be made .*No space left"):
        create(folder)
    monkeypatch.undo()
    assert not (folder / "out").exists()
    assert not list(folder.glob("*.part"))
    assert create(folder).record.port == 9


def test_sites_are_shown_the_same_text_by_a_later_fedgrow(folder, monkeypatch):
    made = create(folder)
    monkeypatch.setattr("fedgrow.sites.coordination.plan_text", lambda plan: "a new setting")
    again = Coordination.open(folder / "out")
    assert again.shown == made.shown == plan_text(made.plan)
    (again.folder / "shown.json").unlink()
    with pytest.raises(FedgrowError, match=r"shown\.json: it cannot be read"):
        Coordination.open(folder / "out").shown  # noqa: B018


@pytest.mark.parametrize("host", ["localhost", "10.0.0.5", "::", "example.org", ""])
def test_an_address_that_the_coordinator_does_not_call_is_refused(folder, host):
    with pytest.raises(FedgrowError, match=rf"--host {host}: expected 127\.0\.0\.1 or 0\.0\.0\.0"):
        create(folder, host=host)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        "me.example.org:9092",
        "https://me",
        "bücher.example",
        "a" * 64,
        "",
        "me_too",
        "a b",
        "*.org",
        "2001:db8::1",
    ],
)
def test_a_name_that_no_site_can_call_is_refused(folder, name):
    with pytest.raises(FedgrowError, match=r"--name .*: expected a host's name or an IPv4 address"):
        create(folder, name=name)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", [f"{'a' * 40}.{'b' * 40}.example.org", "10.0.0.5", "me"])
def test_names_that_sites_can_call_are_taken(folder, name):
    assert (create(folder, name=name).certificates / "server.crt").is_file()


def test_a_site_is_invited_once_by_one_key_of_its_own(folder):
    at = create(folder)
    ada, bob = (make_key(folder / name) for name in ("one", "two"))
    at.invite("ada", ada)
    at.invite("ada", ada)
    assert list(at.keys()) == ["ada"]
    with pytest.raises(FedgrowError, match="'eve' is not in the plan; its participants are ada, bob, cyd"):
        at.invite("eve", bob)
    with pytest.raises(FedgrowError, match="this key is ada's already"):
        at.invite("bob", ada)
    with pytest.raises(FedgrowError, match=r"ada has another key already.* --replace takes this one instead"):
        at.invite("ada", bob)


def test_a_key_that_was_damaged_is_told_by_its_file(folder):
    at = create(folder)
    at.invite("ada", make_key(folder / "one"))
    (at.folder / "sites" / "notes.pub").write_text("of nobody in the plan")
    assert list(at.keys()) == ["ada"]
    (at.folder / "sites" / "ada.pub").write_text("ecdsa-sha2-nistp384 AAAA")
    with pytest.raises(FedgrowError, match=r"sites/ada\.pub: the key is no public key.* invite ada anew"):
        at.keys()


def test_a_key_that_was_lost_is_replaced_and_never_taken_again(folder):
    at = create(folder)
    first, second, third = (make_key(folder / name) for name in ("one", "two", "three"))
    at.invite("ada", first)
    at.invite("bob", third)
    at.invite("ada", second, replace=True)
    assert at.keys()["ada"] == read_public_key(second)
    for name in ("ada", "bob", "cyd"):
        with pytest.raises(FedgrowError, match="this key was replaced before; have the site make a new one"):
            at.invite(name, first, replace=True)
    with pytest.raises(FedgrowError, match="this key is bob's already"):
        at.invite("ada", third, replace=True)
    assert at.keys()["ada"] == read_public_key(second)


def test_certificates_may_be_brought(folder):
    make_certificates(folder / "own", ["me.example.org"])
    at = create(folder, certificates=folder / "own")
    for name in ("ca.crt", "server.crt", "server.key"):
        assert (at.certificates / name).read_bytes() == (folder / "own" / name).read_bytes()


def test_certificates_that_are_not_whole_are_refused(folder):
    (folder / "own").mkdir()
    with pytest.raises(FedgrowError, match=r"--certificates .*: ca\.crt is missing"):
        create(folder, certificates=folder / "own")
    assert not (folder / "out").exists()


def test_certificates_that_do_not_belong_together_are_refused(folder):
    for name in ("own", "other"):
        make_certificates(folder / name, ["me.example.org"])
    for name, why in (
        ("ca.crt", "certificate verify failed|self-signed|issuer"),
        ("server.key", "KEY_VALUES_MISMATCH"),
    ):
        shutil.copytree(folder / "own", folder / name)
        shutil.copy(folder / "other" / name, folder / name / name)
        with pytest.raises(FedgrowError, match=f"do not make a connection: .*({why})"):
            create(folder, certificates=folder / name)
    assert not (folder / "out").exists()


def test_certificates_that_have_run_out_are_refused(folder, monkeypatch):
    monkeypatch.setattr("fedgrow.sites.certificates.YEARS", 0)
    make_certificates(folder / "own", ["me.example.org"])
    with pytest.raises(FedgrowError, match=r"do not make a connection: .*expired"):
        create(folder, certificates=folder / "own")
    assert not (folder / "out").exists()


def test_a_folder_that_is_no_coordinators_is_refused(tmp_path):
    with pytest.raises(FedgrowError, match="it holds no coordinator"):
        Coordination.open(tmp_path)


def test_a_certificate_that_is_not_for_the_coordinators_own_calls_is_refused(folder, monkeypatch):
    monkeypatch.setattr("fedgrow.sites.certificates.LOCAL", ("localhost",))
    make_certificates(folder / "own", ["me.example.org"])
    with pytest.raises(FedgrowError, match=r"--certificates .*: server\.crt is not for 127\.0\.0\.1"):
        create(folder, certificates=folder / "own")
    (folder / "own" / "server.crt").write_text("none")
    with pytest.raises(FedgrowError, match=r"server\.crt: it cannot be read .*expected a certificate in PEM"):
        create(folder, certificates=folder / "own")
    assert not (folder / "out").exists()
