"""Does a federation between real processes end as it should, whatever is killed on the way?

    python benchmarks/faults.py --runs 50 --out campaign

Every run is a coordinator and three sites on loopback, each site behind a wire of its own. At random moments one of them is
killed and started again, or the SuperLink or a SuperNode is killed beneath it, or one is stopped for a while, or a site's
wire is cut for a while, or a disk is full for a while (as root: every folder is a small file system of its own). Clocks of
sites are up to 4 minutes behind or 3 s ahead (where time-machine is installed). A strict run has to end with the operator of
the unbroken one, a quorum run has to end; nothing may hang, and nothing may be left behind. One line a run in
``campaign/runs.jsonl``; the same command goes on where it was stopped.

Last result: benchmarks/results/faults.md
"""

import argparse
import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sites.making import SHAPES, write_all
from tests.sites.private import leaks
from tests.sites.processes import Processes, children_of
from tests.sites.wire import Wire

from fedgrow.config.load import load_plan
from fedgrow.federated.simulate import simulate
from fedgrow.sites.children import free_port

FAULTS = ("coordinator", "superlink", "site", "supernode", "stopped", "wire", "disk")
DISK = 96  # MB, of each folder
SKEWED = """
import os, time, time_machine
time_machine.travel(time.time() + float(os.environ["SKEW"]), tick=True).start()
"""
WITHIN = 900.0  # seconds for a run


class Federation:
    """A coordinator and its sites, with all that can be broken about them.

    Args:
        mode: strict or quorum.
        draw: what is drawn.
    """

    def __init__(self, mode: str, draw: random.Random) -> None:
        self.draw, self.folder = draw, Path(tempfile.mkdtemp(prefix="faults-"))
        self.port = free_port()
        self.wires = {name: Wire(self.port) for name in SHAPES}
        self.disks = [d for d in [self.folder / "disk", *map(self.site, SHAPES)] if _mounted(d)]
        faults = {"mode": mode, "deadline": 60 if mode == "strict" else 30, "patience": 600}
        write_all(self.folder, "127.0.0.1:9", self.folder / "ca.crt", faults=faults)
        for name, wire in self.wires.items():
            path = self.folder / f"{name}.yaml"
            path.write_text(path.read_text("utf-8").replace("127.0.0.1:9", f"127.0.0.1:{wire.port}"), "utf-8")
        self.processes = Processes(self.folder)
        self.coordinator = self.folder / "disk" / "coordinator"
        self.commands: dict[str, tuple[str, ...]] = {
            "server": ("server", "--resume", "--out", "disk/coordinator")
        }
        self.commands |= {name: ("join", f"{name}.yaml", "--yes") for name in SHAPES}
        known = importlib.util.find_spec("time_machine") is not None
        self.skews = {name: draw.choice([0, 3, -30, -240]) if known else 0 for name in SHAPES}
        (self.folder / "skewed").mkdir()
        (self.folder / "skewed" / "sitecustomize.py").write_text(SKEWED, "utf-8")
        for name, skew in self.skews.items():
            if skew:
                environment = {"PYTHONPATH": str(self.folder / "skewed"), "SKEW": str(skew)}
                self.processes.environments[name] = environment

    def prepare(self) -> None:
        """Make the coordinator's folder and everyone's keys."""
        self.processes.prepare(self.port, "disk/coordinator")

    def site(self, name: str) -> Path:
        """Return a site's folder."""
        return self.folder / f"site-{name}"

    def start(self, name: str) -> None:
        """Start the coordinator, or a site."""
        self.processes.start(name, *self.commands[name])

    def ended(self, name: str) -> bool:
        """Whether one has ended."""
        return self.processes.all[name].poll() is not None

    def break_one(self) -> str:
        """Break something and mend what an administrator would."""
        kinds = [fault for fault in FAULTS if self.disks or fault != "disk"]
        fault, name = self.draw.choice(kinds), self.draw.choice(list(SHAPES))
        if fault in ("coordinator", "superlink") or (fault == "disk" and self.draw.random() < 0.4):
            name = "server"
        if self.ended(name):
            return "nothing was left to break"
        getattr(self, f"_{fault}")(name)
        return f"{fault} {name}"

    def _coordinator(self, name: str) -> None:
        self.processes.kill(name)
        time.sleep(self.draw.uniform(0, 5))
        self.start(name)

    _site = _coordinator

    def _superlink(self, name: str) -> None:
        for child in children_of(self.processes.all[name]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    _supernode = _superlink

    def _stopped(self, name: str) -> None:
        stopped = [self.processes.all[name].pid, *children_of(self.processes.all[name])]
        for sent in (signal.SIGSTOP, signal.SIGCONT):
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)
            if sent == signal.SIGSTOP:
                time.sleep(self.draw.uniform(5, 20))

    def _wire(self, name: str) -> None:
        self.wires[name].cut()
        time.sleep(self.draw.uniform(2, 20))
        self.wires[name].mend()

    def _disk(self, name: str) -> None:
        filler = (self.folder / "disk" if name == "server" else self.site(name)) / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        time.sleep(self.draw.uniform(5, 20))
        filler.unlink()
        time.sleep(5)
        if self.ended(name):  # with a text that says why; its administrator made room
            self.start(name)

    def close(self) -> None:
        """End all processes and wires."""
        self.processes.end()
        for wire in self.wires.values():
            wire.close()

    def remove(self, kept: Path | None) -> None:
        """Give the small file systems back and take the folder away, a copy of it to ``kept`` where that is given."""
        if kept is not None:
            shutil.copytree(self.folder, kept, dirs_exist_ok=True)
        for disk in self.disks:
            subprocess.run(["umount", "--lazy", str(disk)], check=False, capture_output=True)
        shutil.rmtree(self.folder)


def _mounted(folder: Path) -> bool:
    """Make a folder that is a small file system, if this user may; else an ordinary one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs"]
    done = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True)
    return done.returncode == 0


def one_run(number: int, seed: int, reference: bytes, kept: Path) -> dict[str, Any]:
    """Carry out a run and say how it ended; the folder of one that did not end as it should is kept."""
    draw = random.Random(f"{seed}/{number}")
    mode = draw.choice(["strict", "strict", "quorum"])
    began, done = time.monotonic(), list[str]()
    one, good = Federation(mode, draw), False
    try:
        one.prepare()
        for name in one.commands:
            one.start(name)
        times = sorted(draw.uniform(8, 70) for _ in range(draw.randint(1, 3)))
        started = time.monotonic()
        while not one.ended("server") and time.monotonic() - began < WITHIN:
            if times and time.monotonic() - started > times[0]:
                times.pop(0)
                done.append(one.break_one())
            time.sleep(0.2)
        ended = one.processes.all["server"].poll()
        codes = {name: _wait(one.processes, name) for name in SHAPES}
        same = ended == 0 and (one.coordinator / "operator/operator.safetensors").read_bytes() == reference
        text = b"".join(path.read_bytes() for path in one.folder.glob("*.log"))
        left = _left(one.folder, one.processes)
        found, _ = leaks(one.folder, one.coordinator)
        lost = _lost(one.coordinator / "events.jsonl")
        good = ended == 0 and (same or mode == "quorum") and set(codes.values()) == {0}
        good = good and b"Traceback" not in text and not (left or found or lost)
    finally:
        one.close()
        one.remove(None if good else kept)
    return {
        "run": number, "seed": seed, "mode": mode, "faults": done, "skews": one.skews, "good": good,
        "server": ended, "sites": codes, "same_operator": same, "traceback": b"Traceback" in text, "left": left,
        "private": found, "rounds_lost": lost, "seconds": round(time.monotonic() - began, 1),
        "folder": None if good else str(kept),
    }  # fmt: skip


def _lost(events: Path) -> int:
    """Return how many whole rounds were run again after the coordinator began anew."""
    lost, last = 0, 0
    for line in events.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):  # the coordinator was killed while it wrote a line
            event = json.loads(line)
            if event["event"] == "round":
                last = event["round"]
            elif event["event"] == "started":
                lost += max(0, last - event["from_round"])
    return lost


def _wait(processes: Processes, name: str) -> int | None:
    end = time.monotonic() + 60
    while processes.all[name].poll() is None and time.monotonic() < end:
        time.sleep(0.2)
    return processes.all[name].poll()


def _left(folder: Path, processes: Processes) -> list[str]:
    """Return processes of the run that are still there, but for those that have not ended yet themselves."""
    known = {process.pid for process in processes.all.values() if process.poll() is None}
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder) in path.read_text() and int(path.parent.name) not in known:
                found.append(path.parent.name)
    return found


def reference() -> bytes:
    """Return the operator of the unbroken run: the simulation's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_all(folder, "127.0.0.1:9", folder / "ca.crt")
        simulate(load_plan(folder / "simulation.yaml"), folder / "run")
        return (folder / "run/operator/operator.safetensors").read_bytes()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("campaign"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "runs.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    runs = [json.loads(line) for line in lines]
    unbroken = reference()
    for number in range(len(runs), given.runs):
        runs.append(one_run(number, given.seed, unbroken, given.out / f"run-{number}"))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        print(json.dumps(runs[-1]), file=sys.stderr)
    bad = [run["run"] for run in runs if not run["good"]]
    strict = [run for run in runs if run["mode"] == "strict"]
    print(
        f"{len(runs)} runs, {sum(len(run['faults']) for run in runs)} faults; {len(strict)} strict, "
        f"{sum(run['same_operator'] for run in strict)} with the unbroken run's operator; "
        f"not as they should be: {bad or 'none'}"
    )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
