"""How much memory and time does ``fedgrow grow`` take on a model of a billion parameters?

Question: a Llama-shaped model of about 1B random parameters (that of Llama 3.2 1B: vocabulary 128,256, tied, grouped-query
attention), in bfloat16 and in several files, grown to about 2B by ``fedgrow grow`` in a process of its own: the peak of
its anonymous memory (RssAnon of /proc/PID/status, read every 20 ms) against the size of what it writes, and its time
against a plain ``cp`` of the written folder in the same run. Neither is flushed to disk; before each the disk is idle.

Command:  python benchmarks/grow_folder.py [--to layers=18,width=2560] [--method exact] [--tiny] [--folder DIR]
Last result: benchmarks/results/grow_folder.md
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from fedgrow.architectures.models import meta_model

HEAD = "causal-language-modelling"
SHAPE = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
}
TINY = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
}


def write_llama(folder: Path, shape: dict[str, int]) -> int:
    """Write a random model, a file of weights for every block; return its parameters."""
    config = transformers.LlamaConfig(**shape, tie_word_embeddings=True, dtype="bfloat16")
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    groups: dict[str, list[tuple[str, torch.Size]]] = {}
    for name, tensor in meta_model(config, HEAD).state_dict().items():
        if name != "lm_head.weight":
            layer = name.split(".")[2] if ".layers." in name else "rest"
            groups.setdefault(layer, []).append((name, tensor.shape))
    places, total = {}, 0
    generator = torch.Generator().manual_seed(0)
    for i, members in enumerate(groups.values()):
        file = f"model-{i + 1:05d}-of-{len(groups):05d}.safetensors"
        tensors = {}
        for name, size in members:
            x = torch.randn(size, generator=generator, dtype=torch.float32).mul_(0.02)
            tensors[name] = (1 + x if len(size) == 1 else x).bfloat16()
            places[name], total = file, total + x.numel()
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 2 * total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def anonymous(pid: int) -> int:
    """Return a process' anonymous memory in bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("RssAnon")]
    return 1024 * int(found[0]) if found else 0


def watched(command: list[str]) -> tuple[float, int, str]:
    """Run a command; return its seconds, the peak of its anonymous memory, and what it printed."""
    os.sync()
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed)
        while process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        printed.seek(0)
        return seconds, peak, printed.read()


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", default=None)
    parser.add_argument("--method", default="exact")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand parameters, to try it")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the models; default: /tmp")
    arguments = parser.parse_args()
    to = arguments.to or ("layers=3,width=80" if arguments.tiny else "layers=18,width=2560")
    work = Path(tempfile.mkdtemp(prefix="grow-folder-", dir=arguments.folder))
    try:
        small, grown, copied = work / "small", work / "grown", work / "copied"
        small.mkdir()
        before = write_llama(small, TINY if arguments.tiny else SHAPE)
        script = str(Path(sys.executable).with_name("fedgrow"))
        options = ["--to", to, "--method", arguments.method, "--parity", "off", "--json"]
        imports, base, _ = watched([script, "grow", str(small), *options, "--dry-run"])
        seconds, peak, printed = watched([script, "grow", str(small), *options, "--out", str(grown)])
        report = json.loads(printed)
        copy, _, _ = watched(["cp", "-r", str(grown), str(copied)])
        written = size(grown)
        print(
            f"threads {torch.get_num_threads()}, torch {torch.__version__}, {to}, method {arguments.method}"
        )
        print(f"parameters {before:,} -> {report['parameters']['grown']:,}, {len(report['files'])} files")
        print(f"input {size(small) / 1e9:.2f} GB, output {written / 1e9:.2f} GB, {report['dtype']}")
        print(f"peak anonymous memory {peak / 1e9:.3f} GB = {peak / written:.3f}x of the output")
        print(f"  of which imports and planning (a dry run) {base / 1e9:.3f} GB, {imports:.1f} s")
        print(f"time {seconds:.1f} s, plain copy {copy:.1f} s = {seconds / copy:.1f}x")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
