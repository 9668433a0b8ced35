"""Memory is kept from one message to the next."""

import subprocess
import sys

import pytest

from fedgrow.federated import local_grid

PROGRAM = """
import resource
import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from fedgrow.exchange.wire import become_server, to_bytes
from fedgrow.federated.memory import keep_freed_memory

become_server(1)
kept = KEEP and keep_freed_memory()
arrays = {f"w{i}": Array(np.ones((256, 1024), "f4")) for i in range(40)}
message = Message(RecordDict({"arrays": ArrayRecord(arrays)}), 1, "train.grow")
to_bytes(message)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    to_bytes(message)
print(int(kept), (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**20)
"""


def fetched(keep: bool) -> tuple[bool, float]:
    """Return whether memory is kept, and the MiB that are fetched anew for three messages of 40 MiB."""
    program = PROGRAM.replace("KEEP", str(keep))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kept, size = done.stdout.split()
    return kept == "1", float(size)


def test_messages_take_the_memory_of_those_before():
    kept, size = fetched(keep=True)
    if not kept:
        pytest.skip("this is not glibc")
    assert size < 40
    assert fetched(keep=False)[1] > 120


def test_the_local_engine_keeps_it(monkeypatch):
    asked = []
    monkeypatch.setattr(local_grid, "keep_freed_memory", lambda: asked.append(True))
    local_grid.run_local(lambda grid, context: None, None, 1, {})
    assert asked
