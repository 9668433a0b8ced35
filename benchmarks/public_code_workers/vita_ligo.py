"""Driver of VITA-Group/LiGO: calls its SimpleBertForMaskedLM and create_ligo_from_model."""

import itertools
import sys
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from measure import (
    MLM,
    SEEDS,
    Batches,
    Spec,
    Train,
    bert_settings,
    check_same_small,
    count,
    difference,
    token_ids,
)
from safetensors.torch import load_file

RECOMMENDED = ("stackbert_noisy", "rand")  # depth and width in the commands of its README


def settings(depth: str, width: str) -> SimpleNamespace:
    """Return the settings that its param.py would (that file has a syntax error): its defaults, as its README runs it."""
    return SimpleNamespace(
        fuse_init_scheme_depth=depth,
        fuse_init_scheme_width=width,
        fuse_init_noise_depth=0.03,
        fuse_init_noise_width=0.03,
        fuse_tie_param=True,
        tune_depth=True,
        tune_width=True,
        tune_small_model=False,
        tune_residual=False,
        tune_residual_noise=0.01,
    )


def new(shape: dict[str, int]) -> Any:
    import model

    return model.SimpleBertForMaskedLM(transformers.BertConfig(**bert_settings(shape, MLM)))


def small_model(spec: Spec) -> Any:
    small = new(spec["small"])
    missing, unexpected = small.load_state_dict(load_file(spec["tensors"]), strict=False)
    missing = [n for n in missing if ".decoder." not in n and not n.endswith("position_ids")]
    assert not [*missing, *unexpected], (missing, unexpected)
    return small.eval()


def grown_model(spec: Spec, small: Any, depth: str, width: str) -> Any:
    import ligo

    return ligo.create_ligo_from_model(new(spec["large"]), settings(depth, width), source_model=small)


def use(spec: Spec) -> None:
    sys.path.insert(0, spec["folder"])
    import ligo  # noqa: F401  (now, so that memory is counted from here)


def train(spec: Spec) -> Train:
    """Train as its run_grow_distributed.py does, without the wrapper for several GPUs."""
    use(spec)

    def run(batches: Batches) -> None:
        model = grown_model(spec, small_model(spec), *RECOMMENDED).train()
        optimizer = transformers.AdamW(model.parameters(), lr=5e-5, eps=1e-6, weight_decay=0.01)
        batches.trained = count(model.parameters())
        for _, ids, _, _, labels in batches:
            loss = model(ids, attention_mask=None, masked_lm_labels=labels)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            model.zero_grad()

    return run


@torch.no_grad()
def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return what its forward computes before the loss; it returns the loss alone."""
    return model.cls(model.bert(ids)[0])


def parity(spec: Spec) -> list[dict[str, Any]]:
    use(spec)
    ids, small = token_ids(spec), small_model(spec)
    expected = logits(small.double(), ids)
    check_same_small(expected, spec)
    small.float()
    rows = []
    for depth, width, seed in itertools.product(spec["depths"], spec["widths"], range(SEEDS)):
        torch.manual_seed(seed)
        model = grown_model(spec, small, depth, width).double().eval()
        rows.append({"depth": depth, "width": width, **difference(expected, logits(model, ids))})
    return rows
