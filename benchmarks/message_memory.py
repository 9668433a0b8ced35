"""What does it cost to serialise a message with a whole model, and what if freed memory is kept for the next?

Question: seconds, and memory that is fetched anew, of one message of 44 arrays of 256 x 1,024 float32 (46 MB), with glibc as
it is and after ``keep_freed_memory``; each in a process of its own, the two in turn; medians of several processes.

Command:  python benchmarks/message_memory.py [--repeats 5]
Last result: benchmarks/results/message_memory.md
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fedgrow.exchange.wire import become_server, to_bytes
from fedgrow.federated.memory import keep_freed_memory
from fedgrow.markdown import table

MESSAGES = 5


def measure(keep: bool) -> dict[str, float]:
    """Return seconds and MiB fetched anew for one message, after a first one."""
    become_server(1)
    if keep:
        keep_freed_memory()
    rng = np.random.default_rng(0)
    arrays = {f"w{i}": Array(rng.normal(size=(256, 1024)).astype("f4")) for i in range(44)}
    message = Message(RecordDict({"arrays": ArrayRecord(arrays)}), 1, "train.grow")
    to_bytes(message)
    faults, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    for _ in range(MESSAGES):
        to_bytes(message)
    seconds = (time.perf_counter() - begin) / MESSAGES
    fetched = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) * resource.getpagesize()
    return {"seconds": seconds, "fetched": fetched / MESSAGES / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", choices=["kept", "plain"], help="measure in this process, print JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one == "kept")))
        return
    found: dict[str, list[dict[str, float]]] = {"plain": [], "kept": []}
    for _ in range(args.repeats):
        for kind, runs in found.items():
            command = [sys.executable, __file__, "--one", kind]
            runs.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    rows = [["freed memory", "seconds a message", "MiB fetched anew a message"]]
    for kind, runs in found.items():
        rows.append(
            [kind, *(f"{statistics.median(r[what] for r in runs):.3g}" for what in ("seconds", "fetched"))]
        )
    print("\n".join(table(rows)))
    ratios = [k["seconds"] / p["seconds"] for p, k in zip(found["plain"], found["kept"], strict=True)]
    print(f"\nratio of seconds, kept to plain: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
