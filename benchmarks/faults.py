"""Does a federation between real processes end as it should, whatever is killed on the way?

    python benchmarks/faults.py --runs 50 --out campaign

Every run is a coordinator and three sites on loopback. At random moments one of them is killed and started again, or the
SuperLink or a SuperNode is killed beneath it, or one is stopped for a while, as if its connection were cut. A strict run has
to end with the operator of the unbroken one, a quorum run has to end; nothing may hang, and nothing may be left behind.
One line a run in ``campaign/runs.jsonl``; the same command goes on where it was stopped.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sites.making import SHAPES, write_all
from tests.sites.processes import Processes, children_of

from fedgrow.config.load import load_plan
from fedgrow.federated.simulate import simulate
from fedgrow.sites.children import free_port

FAULTS = ("coordinator", "superlink", "site", "supernode", "cut")
WITHIN = 900.0  # seconds for a run


def one_run(number: int, seed: int, reference: bytes) -> dict[str, Any]:
    """Carry out a run and say how it ended."""
    draw = random.Random(f"{seed}/{number}")
    mode = draw.choice(["strict", "strict", "quorum"])
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    port = free_port()
    faults = {"mode": mode, "deadline": 60 if mode == "strict" else 30, "patience": 600}
    write_all(folder, f"127.0.0.1:{port}", folder / "ca.crt", faults=faults)
    processes = Processes(folder)
    done: list[str] = []
    try:
        processes.run("server", "plan.yaml", "--out", "coordinator", "--port", str(port), "--prepare")
        shutil.copy(folder / "coordinator/coordinator/certificates/ca.crt", folder / "ca.crt")
        for name in SHAPES:
            key = processes.run("join", f"{name}.yaml", "--key").stdout.strip()
            processes.run("invite", name, "--key", key, "--out", "coordinator")
        commands = {name: ("join", f"{name}.yaml", "--yes") for name in SHAPES}
        commands["server"] = ("server", "--resume", "--out", "coordinator")
        for name, command in commands.items():
            processes.start(name, *command)
        times = sorted(draw.uniform(8, 70) for _ in range(draw.randint(1, 3)))
        started = time.monotonic()
        while processes.all["server"].poll() is None and time.monotonic() - began < WITHIN:
            if times and time.monotonic() - started > times[0]:
                times.pop(0)
                done.append(_break(processes, commands, draw))
            time.sleep(0.2)
        ended = processes.all["server"].poll()
        codes = {name: _wait(processes, name) for name in SHAPES}
        same = ended == 0 and (folder / "coordinator/operator/operator.safetensors").read_bytes() == reference
        text = b"".join(path.read_bytes() for path in folder.glob("*.log"))
        left = _left(folder, processes)
    finally:
        processes.end()
    good = ended == 0 and (same or mode == "quorum") and b"Traceback" not in text and not left
    good = good and set(codes.values()) == {0}
    if good:
        shutil.rmtree(folder)
    return {
        "run": number, "seed": seed, "mode": mode, "faults": done, "good": good, "server": ended, "sites": codes,
        "same_operator": same, "traceback": b"Traceback" in text, "left": left,
        "seconds": round(time.monotonic() - began, 1), "folder": None if good else str(folder),
    }  # fmt: skip


def _break(processes: Processes, commands: dict[str, tuple[str, ...]], draw: random.Random) -> str:
    """Break something and mend what an administrator would."""
    fault, name = draw.choice(FAULTS), draw.choice(list(SHAPES))
    if processes.all[name].poll() is not None:
        return "nothing was left to break"
    if fault in ("coordinator", "site"):
        name = "server" if fault == "coordinator" else name
        processes.kill(name)
        time.sleep(draw.uniform(0, 5))
        processes.start(name, *commands[name])
    elif fault in ("superlink", "supernode"):
        name = "server" if fault == "superlink" else name
        for child in children_of(processes.all[name]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    else:
        stopped = [processes.all[name].pid, *children_of(processes.all[name])]
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(draw.uniform(5, 20))
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    return f"{fault} {name}"


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
        runs.append(one_run(number, given.seed, unbroken))
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
