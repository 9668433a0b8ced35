"""Does bad input ever end in a traceback, get accepted wrongly, or leave something half-written?

    python benchmarks/fuzz.py --times 2000 --seed 0
    python benchmarks/fuzz.py --times 40 --seed 1 --processes

Mutates plans, sites' files, operators, messages, checkpoints and ledgers, and gives them to the commands (in this process,
or each in a process of its own) or to what stands behind the network. Every case can be run again from its number:
``--only KIND --first N --times 1``.

Last result: benchmarks/results/fuzz.md
"""

import argparse
import contextlib
import copy
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sites.making import write_all

from fedgrow.cli import app
from fedgrow.config.load import load_plan
from fedgrow.config.site import load_site
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import PLAN, Contract
from fedgrow.exchange.packing import packed, unpacked
from fedgrow.exchange.wire import become_server, from_bytes, to_bytes
from fedgrow.federated.client_app import SiteError
from fedgrow.federated.resolve import resolve
from fedgrow.sites.coordination import introducing, plan_text
from fedgrow.sites.ledger import Ledger, verify
from fedgrow.sites.site import Site

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**70, -0.0, 1e308, 1e-320, float("nan"), float("inf"), "", " ", "a", "../..", "/",
    "/dev/null", "\x00", "ü\u2028", "x" * 5000, "~", "${data}", "1", "null", [], [[]], {}, {"a": 1}, [None],
    b"\xff".decode("latin1"),
]  # fmt: skip


class Wrong(Exception):
    """What must not happen."""


def mutated(value: Any, draw: random.Random) -> Any:
    """Change one to three places of nested settings."""
    value = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(draw.choice(ODD))
        parent, key = draw.choice(places)
        what = draw.random()
        if what < 0.2:
            del parent[key]
        elif what < 0.3 and isinstance(parent, dict):
            parent[draw.choice(["extra", "kind", "name", "", "seed", "path"])] = copy.deepcopy(
                draw.choice(ODD)
            )
        elif what < 0.4:
            parent[key] = [json.loads(json.dumps(parent[key]))]
        elif what < 0.5:
            other, name = draw.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                parent[key] = json.loads(json.dumps(other[name]))
        else:
            parent[key] = copy.deepcopy(draw.choice(ODD))
    return value


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Flip, cut, double or insert a few bytes."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(found) + 1)
        what = draw.randrange(4)
        if what == 0 and at < len(found):
            found[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            del found[at : at + draw.randint(1, 40)]
        elif what == 2:
            found[at:at] = found[at : at + draw.randint(1, 40)]
        else:
            found[at:at] = draw.randbytes(draw.randint(1, 8))
    return bytes(found)


Command = Callable[..., tuple[int, str]]
"""Runs a command; returns its exit code and what it said, or raises ``Wrong``."""


def in_process(*arguments: object) -> tuple[int, str]:
    """Run a command in this process; it is wrong if it ends with anything but an exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app([str(a) for a in arguments], prog_name="fedgrow")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException as error:
            raise Wrong(f"{type(error).__name__}: {error}") from error
        else:
            code = 0
    return _well_ended(code, out.getvalue() + err.getvalue())


def as_process(*arguments: object) -> tuple[int, str]:
    """Run a command in a process of its own; it is wrong if it takes more than five minutes."""
    line = [sys.executable, "-m", "fedgrow", *(str(a) for a in arguments)]
    try:
        done = subprocess.run(line, capture_output=True, check=False, timeout=300, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Wrong("it hangs") from None
    return _well_ended(done.returncode, (done.stdout + done.stderr).decode("utf-8", errors="replace"))


def _well_ended(code: int, said: str) -> tuple[int, str]:
    if "Traceback" in said:
        raise Wrong(f"a traceback was shown: {said[-500:]}")
    if code not in (0, 1, 2, 3, 130) or (code and not said.strip()):
        raise Wrong(f"exit code {code} and {said[-300:]!r}")
    return code, said


class Fuzz:
    """The kinds of bad input, each a method that takes a source of chance; all begin with the same good input.

    Args:
        folder: where all of it lies.
        command: what runs the commands.
    """

    def __init__(self, folder: Path, command: Command = in_process) -> None:
        self.folder, self.work, self.command = folder, folder / "work", command
        (folder / "ca.crt").write_text("x")
        write_all(
            folder, "127.0.0.1:9", folder / "ca.crt", schedule={"kind": "joint", "rounds": 1, "steps": 2}
        )
        self.plan = yaml.safe_load((folder / "plan.yaml").read_text())
        self.site = yaml.safe_load((folder / "ada.yaml").read_text())
        in_process("simulate", folder / "simulation.yaml", "--out", folder / "run")
        in_process("server", folder / "plan.yaml", "--out", folder / "coordinator", "--prepare")
        shutil.copytree(folder / "run" / "rounds", folder / "coordinator" / "rounds")
        self.messages = self._messages()

    def _messages(self) -> list[bytes]:
        """Return good messages to a site, and let it answer them, so that there is a ledger."""
        from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

        from fedgrow.architectures import families
        from fedgrow.exchange.records import to_record
        from fedgrow.learners.dual_ligo import global_start

        become_server(7)
        plan = resolve(load_plan(self.folder / "plan.yaml"))
        text = plan_text(plan)
        start = to_record(global_start(plan, families()["vit"]))
        shown = introducing("tiny-1", text)
        made = []
        for kind, config, arrays in (
            (PLAN, shown, ArrayRecord()),
            ("train.prepare", {"server-round": 0}, ArrayRecord()),
            ("train.grow", {"server-round": 1}, start),
            ("evaluate.grow", {"server-round": 1}, start),
        ):
            content = RecordDict({"arrays": arrays, "config": ConfigRecord(config)})
            made.append(Message(packed(content), 1001, kind, group_id=str(config["server-round"])))
        site = Site(load_site(self.folder / "ada.yaml"), lambda *_: True)
        self.answers = [to_bytes(site.answer(message)) for message in made]
        self.experiment = self.folder / "site-ada" / "experiments" / "tiny-1"
        self.contract = Contract.of(global_start(plan, families()["vit"]), plan.metrics, 0)
        return [to_bytes(message) for message in made]

    def _text(self, value: Any, draw: random.Random) -> bytes:
        text = yaml.safe_dump(mutated(value, draw), allow_unicode=True).encode("utf-8", "surrogatepass")
        return damaged(text, draw) if draw.random() < 0.3 else text

    def plans(self, draw: random.Random) -> None:
        """A coordinator's plan."""
        path, out = self.work / "plan.yaml", self.work / "out"
        path.write_bytes(self._text(self.plan, draw))
        code, said = self.command("server", path, "--out", out, "--prepare")
        if code and out.exists():
            raise Wrong(f"left {sorted(p.name for p in out.iterdir())} behind: {said[-200:]}")
        if not code and resolve(load_plan(path)) != load_plan(out / "plan.yaml"):
            raise Wrong("the plan that was written is not the one that was given")

    def sites(self, draw: random.Random) -> None:
        """A site's file."""
        path = self.work / "site.yaml"
        value = self.site | {"folder": "site", "certificate": str(self.folder / "ca.crt")}
        path.write_bytes(self._text(value, draw))
        if self.command is as_process and not self._stays_here(path):
            return
        with mock.patch("fedgrow.sites.certificates.write_private", side_effect=_only_in(self.work)):
            self.command("join", path, "--key")

    def _stays_here(self, path: Path) -> bool:
        """Whether a site's file names a folder of our own: a process would make its key wherever it says."""
        try:
            return self.work in Path(load_site(path).folder).parents
        except FedgrowError:
            return True  # it is refused

    def operators(self, draw: random.Random) -> None:
        """A trained operator that a newcomer takes."""
        operator, out = self.work / "operator", self.work / "out"
        shutil.copytree(self.folder / "run" / "operator", operator)
        name = draw.choice(["config.json", "operator.safetensors"])
        data = (operator / name).read_bytes()
        if name == "config.json" and draw.random() < 0.7:
            (operator / name).write_text(json.dumps(mutated(json.loads(data), draw)))
        else:
            (operator / name).write_bytes(damaged(data, draw))
        with mock.patch("fedgrow.federated.simulate.carry_out", side_effect=FedgrowError("it was taken")):
            code, said = self.command(
                "simulate", self.folder / "simulation.yaml", "--operator", operator, "--out", out
            )
        # in a process of its own a good one is carried out, to exit code 0
        if code and "it was taken" not in said and out.exists():
            raise Wrong(f"left a run behind: {said[-200:]}")
        if not code and self.command is in_process:
            raise Wrong("it ran")

    def to_sites(self, draw: random.Random) -> None:
        """A message to a site."""
        data = damaged(draw.choice(self.messages), draw)
        try:
            message = from_bytes(data)
        except Exception:  # Flower's own reading: it never reaches a site
            return
        site = Site(load_site(self.folder / "ada.yaml"), lambda *_: True)
        before = _files(self.experiment.parent)
        try:
            reply = site.answer(message)
            reply.content = unpacked(reply.content)
            self.contract.check(message.metadata.message_type, reply)
        except SiteError:
            pass
        if len(_files(self.experiment.parent) - before) > 0 and not (self.experiment / "run.json").is_file():
            raise Wrong("files are left behind")

    def to_the_coordinator(self, draw: random.Random) -> None:
        """An answer from a site."""
        data = damaged(draw.choice(self.answers), draw)
        try:
            reply = from_bytes(data)
            kind = reply.metadata.message_type
            if reply.has_error():
                return
        except Exception:
            return
        with contextlib.suppress(FedgrowError):
            reply.content = unpacked(reply.content)
            self.contract.check(kind, reply)

    def checkpoints(self, draw: random.Random) -> None:
        """A file of a coordinator's folder."""
        out = self.work / "coordinator"
        shutil.copytree(self.folder / "coordinator", out)
        kept = ("*.json", "*.yaml", "*.safetensors", "*.pub", "*.jsonl")
        files = sorted(p for pattern in kept for p in out.rglob(pattern))
        path = draw.choice(files)
        if path.suffix == ".json" and draw.random() < 0.6:
            path.write_text(json.dumps(mutated(json.loads(path.read_text()), draw)))
        else:
            path.write_bytes(damaged(path.read_bytes(), draw))
        self.command("status", "--out", out, "--json")
        self.command("server", "--resume", "--out", out, "--prepare")
        from fedgrow.federated.checkpoint import Checkpoints

        with contextlib.suppress(FedgrowError):
            Checkpoints(out).last()

    def ledgers(self, draw: random.Random) -> None:
        """A site's ledger."""
        path, good = self.work / "ledger.jsonl", self.experiment / "ledger.jsonl"
        whole = verify(good)
        path.write_bytes(damaged(good.read_bytes(), draw))
        code, _ = self.command("audit", path)
        if not code:
            found = verify(path)
            if found != whole[: len(found)]:
                raise Wrong("a ledger that was changed is taken for whole")
        with contextlib.suppress(FedgrowError):
            Ledger(path)


COMMANDS = ("plans", "sites", "operators", "checkpoints", "ledgers")
KINDS = ("plans", "sites", "operators", "to_sites", "to_the_coordinator", "checkpoints", "ledgers")


def _only_in(folder: Path) -> Callable[[Path, bytes], None]:
    def write(path: Path, data: bytes) -> None:
        if folder not in path.resolve().parents:
            raise FedgrowError(f"{path} is outside")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return write


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def run(
    kinds: tuple[str, ...], times: int, seed: int, first: int = 0, command: Command = in_process
) -> list[str]:
    """Run cases of every kind; return what went wrong, each with its kind and number."""
    wrong, counts = [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder), command)
        for kind in kinds:
            for number in range(first, first + times):
                shutil.rmtree(fuzz.work, ignore_errors=True)
                fuzz.work.mkdir()
                draw = random.Random(f"{seed}/{kind}/{number}")
                try:
                    getattr(fuzz, kind)(draw)
                except Exception as error:
                    what = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
                    wrong.append(f"{kind} {number}: {what[:400]}")
                    counts[kind] += 1
            print(f"{kind}: {times} cases, {counts[kind]} wrong", file=sys.stderr)
    return wrong


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=200, help="cases of every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--processes", action="store_true", help="every command in a process of its own")
    given = parser.parse_args()
    kinds, command = (COMMANDS, as_process) if given.processes else (KINDS, in_process)
    wrong = run((given.only,) if given.only else kinds, given.times, given.seed, given.first, command)
    print("\n".join(wrong) or "nothing went wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
