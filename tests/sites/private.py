"""All that is private of a federation's sites, looked for in what came to the coordinator; also for benchmarks."""

from pathlib import Path

from fedgrow.disk.atomic import read_tensors
from tests.sites.making import SHAPES
from tests.written import forms


def leaks(folder: Path, coordinator: Path) -> tuple[list[str], int]:
    """Return what was found, and how many private arrays were looked for.

    The coordinator's folder holds Flower's database, logs, checkpoints and reports: all that ever came to it.

    Args:
        folder: the federation's, with the sites' folders and the coordinator's screen.
        coordinator: the coordinator's own.
    """
    files = [path for path in coordinator.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in [*files, folder / "server.log"])
    found, private = [], 0
    for name in SHAPES:
        for own in (folder / f"site-{name}").glob(f"experiments/*/participants/{name}/private"):
            kept = [
                path for part in ("small", "state", "lost") for path in (own / part).glob("*.safetensors")
            ]
            for path in kept:
                for key, tensor in read_tensors(path).items():
                    looked = forms(tensor)
                    private += bool(looked)
                    found += [f"{name}: {key}, {kind}" for kind, one in looked.items() if one in everything]
        for word in (f"model-{name}", f"{name}.npz", f"site-{name}", "Traceback"):
            if word.encode() in everything:
                found.append(word)
    return found, private
