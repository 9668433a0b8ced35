"""The commands of one federation as real processes; also for ``benchmarks/faults.py``."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.sites.making import SHAPES

WITHIN = 400.0  # seconds


class Processes:
    """Commands of one federation, each ended at the end whatever happens."""

    def __init__(self, folder):
        self.folder, self.all = folder, {}
        self.environments = {}  # by name, what a command's environment has besides ours

    def start(self, name, *arguments, terminal=None, largest_file=None):
        """Start a command: at a terminal, or with a disk that takes no file larger than so many bytes, where given."""

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        with (self.folder / f"{name}.log").open("ab") as log:
            self.all[name] = subprocess.Popen(
                [sys.executable, "-m", "fedgrow", *arguments],
                cwd=self.folder,
                stdout=log if terminal is None else terminal,
                stderr=log if terminal is None else terminal,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                preexec_fn=limit if largest_file is not None else None,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | self.environments.get(name, {}),
            )

    def run(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "fedgrow", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def prepare(self, port, out="coordinator"):
        """Make the coordinator's folder, and exchange its certificate for the sites' keys."""
        self._good("server", "plan.yaml", "--out", out, "--port", str(port), "--prepare")
        shutil.copy(self.folder / out / "coordinator/certificates/ca.crt", self.folder / "ca.crt")
        for name in SHAPES:
            self.invite(name, out=out)

    def invite(self, name, *options, out="coordinator"):
        """Have a site make its key, unless it has one, and invite it."""
        key = self._good("join", f"{name}.yaml", "--key").strip()
        self._good("invite", name, "--key", key, "--out", out, *options)

    def _good(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def kill(self, name):
        self.all[name].kill()
        self.all[name].wait()

    def wait(self, name):
        try:
            return self.all[name].wait(WITHIN)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{name} did not end: {(self.folder / f'{name}.log').read_text()[-3000:]}"
            ) from None

    def end(self):
        for process in self.all.values():
            if process.poll() is None:
                process.kill()
            process.wait()


def status(processes):
    return json.loads(processes.run("status", "--out", "coordinator", "--json").stdout)


def wait_for(what, processes):
    end = time.monotonic() + WITHIN
    while not what():
        for name, process in processes.all.items():
            assert process.poll() in (None, 0, -9), (processes.folder / f"{name}.log").read_text()[-3000:]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.3)


def children_of(process):
    """Return the ids of a process's children."""
    with contextlib.suppress(FileNotFoundError):
        return [
            int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
    return []
