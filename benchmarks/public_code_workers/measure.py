"""What all workers of public_code.py share: shapes as settings, weights, batches that are timed, differences of logits."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

VOCABULARY, LENGTH, LABELS, SEEDS = 30_522, 128, 4, 3
MLM, CLASSIFY = "masked-language-modelling", "sequence-classification"
Spec = dict[str, Any]


def bert_settings(shape: dict[str, int], head: str) -> dict[str, int]:
    """Return the settings of a BertConfig, by names that all versions of transformers know."""
    names = {
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "ffn": "intermediate_size",
    }
    labels = {"num_labels": LABELS} if head == CLASSIFY else {}
    return {"vocab_size": VOCABULARY, **{names[k]: v for k, v in shape.items()}, **labels}


@torch.no_grad()
def randomise(model: torch.nn.Module) -> None:
    """Draw every parameter, gains and biases too: a fresh model has gains 1 and biases 0, which hides differences."""
    generator = torch.Generator().manual_seed(0)
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 1:
            p.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
        else:
            fan_in = p.shape[-1] if p.dim() < 4 else p[0].numel()  # a convolution has four dimensions
            p.copy_(noise * fan_in**-0.5)


def token_ids(spec: Spec) -> torch.Tensor:
    """Return the token ids on which parity is measured."""
    if "ids" in spec:
        return torch.tensor(spec["ids"])
    return torch.randint(0, VOCABULARY, (8, 32), generator=torch.Generator().manual_seed(1))


def images() -> torch.Tensor:
    return torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def difference(small: torch.Tensor, large: torch.Tensor) -> dict[str, float]:
    """Compare logits: |large - small| / |small| over all of them, and how often both choose the same class."""
    same = (small.argmax(-1) == large.argmax(-1)).double().mean()
    return {"relative": float((large - small).norm() / small.norm()), "same": float(same)}


def check_same_small(logits: torch.Tensor, spec: Spec) -> None:
    """Check that another implementation's small model, with our weights in it, computes what ours computes."""
    found, expected = float(logits.norm()), spec["norm"]
    assert abs(found / expected - 1) < 1e-9, f"the norm of the small model's logits: {found}, ours {expected}"


def high_water() -> float:
    """Return this process's peak resident memory in MiB (Linux)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def count(parameters: Any) -> int:
    return sum(p.numel() for p in parameters if p.requires_grad)


class Batches:
    """Training data without end; a batch waits for the parent's word, and the time until the next is asked for is a step.

    A batch has its token ids in place 1 and its labels in place 4, as LiGOFwlr's trainer expects them.
    """

    def __init__(self, spec: Spec, reply: Callable[[Any], None]) -> None:
        self.spec, self.reply, self.base, self.trained = spec, reply, high_water(), 0

    def __len__(self) -> int:
        return 1000

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        import transformers

        batch = self._batch()
        versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
        self.reply({"versions": versions, "threads": torch.get_num_threads(), "trained": self.trained})
        for line in sys.stdin:
            if line.strip() == "memory":
                self.reply(high_water() - self.base)
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            yield batch
            self.reply((time.perf_counter() - wall, time.process_time() - cpu))

    def _batch(self) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, VOCABULARY, (self.spec["batch"], LENGTH), generator=generator)
        if self.spec["head"] == MLM:
            labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.15, ids, -100)
        else:
            labels = torch.randint(0, LABELS, (len(ids),), generator=generator)
        return None, ids, None, None, labels


Train = Callable[[Batches], None]
