"""The coordinator's folder: the plan that sites are shown, certificates, the sites' keys, and how the run stands."""

import json
import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedgrow.config.plan import NAME, Plan, Section
from fedgrow.disk.atomic import append_line, read_record, read_text, write_json, write_text
from fedgrow.disk.environment import this_fedgrow
from fedgrow.errors import FedgrowError
from fedgrow.federated.resolve import resolve
from fedgrow.runs.folder import RunFolder, digest_of
from fedgrow.sites.certificates import (
    check_call,
    check_names,
    is_for_this_machine,
    make_certificates,
    read_public_key,
    write_private,
)

CERTIFICATES = ("ca.crt", "server.crt", "server.key")
HOSTS = ("127.0.0.1", "0.0.0.0")  # the coordinator itself calls 127.0.0.1
SHOWN = "shown.json"
REPLACED = "replaced"  # keys that are nobody's any more, a line each


class Record(Section):
    """What ``coordinator.json`` holds."""

    experiment: Annotated[str, Field(pattern=NAME)]
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    names: tuple[str, ...]


class Coordination:
    """A coordinator's folder: an ordinary run folder, with ``coordinator/`` for what only it has.

    Layout of ``coordinator/``: ``coordinator.json`` (experiment, address), ``shown.json`` (the plan, to the byte as sites
    are shown it), ``certificates/`` (``ca.crt`` is for the sites), ``sites/NAME.pub`` and ``sites/replaced`` (keys),
    ``private/`` (secret, Flower's database and logs), ``status.json``.
    """

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.folder = self.run.path / "coordinator"
        self.certificates = self.folder / "certificates"
        self.private = self.folder / "private"

    @classmethod
    def create(
        cls,
        path: Path,
        plan: Plan,
        host: str,
        port: int,
        names: Sequence[str],
        certificates: Path | None = None,
    ) -> "Coordination":
        """Check a plan and make the folder, whole or not at all.

        Args:
            path: the folder; new or empty.
            plan: a plan whose participants bring their own models and data.
            host: the address to listen on.
            port: the port to listen on.
            names: host names and addresses by which sites call the coordinator.
            certificates: a folder with ``ca.crt``, ``server.crt`` and ``server.key`` to take; None makes them.

        Raises:
            FedgrowError: the plan is not one for sites, an address or a name is none, or the folder cannot be made.
        """
        whole = for_sites(plan)
        if host not in HOSTS:
            raise FedgrowError(
                f"--host {host}: expected {' or '.join(HOSTS)} (all addresses: a firewall says who may call)"
            )
        check_names(names)
        if certificates is not None:
            _check_whole(certificates)

        def more(folder: Path) -> None:
            cls(folder)._fill(whole, host, port, names, certificates)

        return cls(RunFolder.create(path, whole, "sites", more).path)

    def _fill(
        self, plan: Plan, host: str, port: int, names: Sequence[str], certificates: Path | None
    ) -> None:
        """Write what only a coordinator has."""
        if certificates is None:
            make_certificates(self.certificates, names)
        else:
            for name in CERTIFICATES:
                write_private(self.certificates / name, (certificates / name).read_bytes())
        write_private(self.secret, secrets.token_hex(32).encode())
        (self.folder / "sites").mkdir()
        experiment = f"{plan.name[:40]}-{secrets.token_hex(4)}"
        write_text(self.folder / SHOWN, plan_text(plan))
        record = {"experiment": experiment, "host": host, "port": port, "names": list(names)}
        write_json(self.folder / "coordinator.json", record)

    @classmethod
    def open(cls, path: Path) -> "Coordination":
        """Open what was made before.

        Raises:
            FedgrowError: the folder holds no coordinator.
        """
        self = cls(path)
        if not (self.folder / "coordinator.json").is_file():
            raise FedgrowError(
                f"--out {path}: it holds no coordinator; `fedgrow server PLAN.yaml --out` makes one"
            )
        return self

    @property
    def secret(self) -> Path:
        """The file that shows Flower that a task may be taken."""
        return self.private / "secret"

    @cached_property
    def record(self) -> "Record":
        """Experiment, host, port and names."""
        return read_record(self.folder / "coordinator.json", Record)

    @property
    def experiment(self) -> str:
        """The experiment's name: sites keep their state under it."""
        return self.record.experiment

    @property
    def plan(self) -> Plan:
        """The plan that sites are shown."""
        return self.run.plan

    @cached_property
    def shown(self) -> str:
        """The plan's text as it was first shown: sites have approved its digest, whatever a later fedgrow would write.

        Raises:
            FedgrowError: it cannot be read.
        """
        return read_text(self.folder / SHOWN)

    @property
    def calls(self) -> str:
        """The address that sites call."""
        names = self.record.names
        return f"{names[0] if names else self.record.host}:{self.record.port}"

    def keys(self) -> dict[str, bytes]:
        """Return the keys of the sites that were invited, by name."""
        found = {}
        for name in self.plan.names:
            if (path := self.folder / "sites" / f"{name}.pub").is_file():
                try:
                    found[name] = read_public_key(path.read_text("utf-8", errors="replace"))
                except FedgrowError as error:
                    raise FedgrowError(
                        f"{path}: {error}; take the file away, and invite {name} anew"
                    ) from None
        return found

    def invite(self, name: str, key: str, *, replace: bool = False) -> None:
        """Add a site's public key.

        Args:
            name: the site's name in the plan.
            key: its public key, one line.
            replace: take it instead of the one that is there, which was lost or stolen.

        Raises:
            FedgrowError: the plan has no such participant, the key is none, was replaced before, or another one is there
                already.
        """
        if name not in self.plan.names:
            raise FedgrowError(
                f"{name!r} is not in the plan; its participants are {', '.join(self.plan.names)}"
            )
        new = read_public_key(key)
        for other, known in self.keys().items():
            if other != name and known == new:
                raise FedgrowError(f"this key is {other}'s already; every site has a key of its own")
            if other == name and known != new and not replace:
                raise FedgrowError(
                    f"{name} has another key already; if that was lost or stolen, --replace takes this one instead"
                )
        place, before = self.folder / "sites" / f"{name}.pub", self.folder / "sites" / REPLACED
        past = before.read_text("utf-8").splitlines() if before.is_file() else []
        if any(read_public_key(line) == new for line in past):
            raise FedgrowError("this key was replaced before; have the site make a new one")
        if place.is_file() and self.keys()[name] != new:
            append_line(before, place.read_text("utf-8").strip(), to_disk=True)
        write_text(place, key.strip() + "\n")


def _check_whole(certificates: Path) -> None:
    for name in CERTIFICATES:
        if not (certificates / name).is_file():
            raise FedgrowError(
                f"--certificates {certificates}: {name} is missing; expected {', '.join(CERTIFICATES)}"
            )
    if not is_for_this_machine(certificates / "server.crt"):
        raise FedgrowError(
            f"--certificates {certificates}: server.crt is not for 127.0.0.1, where the coordinator calls its own "
            "SuperLink; have one signed whose subject alternative names hold that address, too, or let one be made"
        )
    check_call(certificates)


def for_sites(plan: Plan) -> Plan:
    """Return a plan, settled, as sites can be shown it.

    Raises:
        FedgrowError: it names what sites bring themselves or have not, or leaves open what nobody could settle.
    """
    for entry in plan.participants:
        if entry.brought:
            raise FedgrowError(
                f"participants: {entry.name} has {', '.join(entry.brought)}; a site says that itself, in its own file"
            )
    if plan.data is not None:
        raise FedgrowError("data: sites bring their own, named in their own files; leave it out")
    if plan.operator.trained is not None:
        raise FedgrowError("operator.trained: it names a folder, which sites have not; leave it out")
    if plan.baselines:
        raise FedgrowError("baselines: they are for `fedgrow simulate`; leave them out")
    return resolve(plan)


def plan_text(plan: Plan) -> str:
    """Return the plan as sites are shown it: one form, so that it has one digest."""
    return json.dumps(plan.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)


def introducing(experiment: str, text: str) -> dict[str, str | int]:
    """Return what a message that shows a plan says.

    Args:
        experiment: the experiment's name.
        text: the plan's, as of ``plan_text``.
    """
    said = {"experiment": experiment, "plan": text, "digest": digest_of(text), "fedgrow": this_fedgrow()}
    return {"server-round": 0, **said}
