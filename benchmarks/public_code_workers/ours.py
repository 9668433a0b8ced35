"""Ours, and the plain large model: the only file of this benchmark that knows fedgrow's interface."""

import itertools
from typing import Any

import torch
from measure import (
    CLASSIFY,
    Batches,
    Spec,
    Train,
    bert_settings,
    count,
    difference,
    images,
    randomise,
    token_ids,
)
from safetensors.torch import save_file
from transformers import AutoTokenizer, BertConfig, ViTConfig

from fedgrow.architectures import read
from fedgrow.architectures.models import load_model, new_model
from fedgrow.architectures.shape import Shape
from fedgrow.config.plan import OperatorPlan, TrainingPlan
from fedgrow.learners import Learner, Ligo, WholeModel
from fedgrow.learners.ligo import Step, make_operator

SENTENCES = (
    "The capital of France is Paris, and the river that crosses it is the [MASK].",
    "She opened the door, looked at the rain and went back for her [MASK].",
    "A transformer is trained on text; a larger one can be [MASK] from a smaller one.",
    "In winter the days are short and the [MASK] are long.",
)
KINDS, DTYPES = ("low-rank", "partial", "dense"), (torch.float64, torch.float32)
STARTS = (  # Xavier maps are LiGO's as published; rounding is no matter there
    *itertools.product(KINDS, ("exact",), DTYPES),
    ("dense", "xavier", torch.float64),
)


def bert(spec: Spec, size: str = "small") -> Any:
    if spec.get("real"):
        return load_model(spec["real"], spec["head"])[0]
    model = new_model(BertConfig(**bert_settings(spec[size], spec["head"])), spec["head"], seed=0)
    randomise(model)
    return model


def vit(spec: Spec) -> Any:
    settings = bert_settings(spec["small"], CLASSIFY)
    del settings["vocab_size"]
    model = new_model(ViTConfig(**settings), "image-classification", seed=0)
    randomise(model)
    return model


def learner(model: Any, spec: Spec, operator: dict[str, Any], *, two: bool = False) -> Ligo:
    """Return growth by one operator, or by Fed-Grow's two, the first of which keeps the small model's shape."""
    plan, family = OperatorPlan(**operator), read(model).family
    small, large = Shape(**spec["small"]), Shape(**spec["large"])
    steps = [Step(make_operator(plan, family, small, large, 0))]
    if two:
        steps.insert(0, Step(make_operator(plan, family, small, small, 1), prefix="local/"))
    return Ligo(model, steps, TrainingPlan())


def contender(spec: Spec) -> Learner:
    if spec["who"] == "plain":
        return WholeModel(bert(spec, "large"), 1e-5)
    return learner(bert(spec), spec, spec["operator"], two=spec["two"])


def train(spec: Spec) -> Train:
    """Train as fedgrow's own loop does: a functional forward, one backward, clipping, a fused AdamW."""

    def run(batches: Batches) -> None:
        it = contender(spec)
        shared, private = it.shared_start(), it.private_start()
        state = {n: t.clone() for n, t in {**shared, **private}.items()}
        trained = [state[n].requires_grad_() for g in it.groups("joint") for n in g.names]
        optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        batches.trained = count(trained)
        for _, ids, _, _, labels in batches:
            weights = it.weights({n: state[n] for n in shared}, {n: state[n] for n in private})
            logits = it.logits(weights, {"input_ids": ids}, training=True)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()

    return run


def grown(it: Ligo, dtype: torch.dtype) -> Any:
    shared = it.steps[-1].operator.initial(dtype)
    private = {n: t.to(dtype) for n, t in it.private_start().items()}
    return it.materialise(shared, private).to(dtype).eval()


@torch.no_grad()
def parity(spec: Spec) -> list[dict[str, Any]]:
    rows = []
    for kind, start, dtype in STARTS:
        is_vit = spec.get("family") == "vit"
        model = vit(spec) if is_vit else bert(spec)
        it = learner(model, spec, {"kind": kind, "start": start})
        inputs = {"pixel_values": images().to(dtype)} if is_vit else {"input_ids": token_ids(spec)}
        small = model.to(dtype).eval()(**inputs).logits
        found = difference(small, grown(it, dtype)(**inputs).logits)
        row = {"kind": kind, "start": start, "dtype": str(dtype).removeprefix("torch.")}
        rows.append(row | found | {"declared": it.declared})
    return rows


@torch.no_grad()
def export(spec: Spec) -> dict[str, Any]:
    """Write the small model's tensors for the others to load; return the token ids and the norm of its logits."""
    model = bert(spec).eval()
    tied = ".decoder."  # the head's weight and bias are stored once
    save_file({n: t.clone() for n, t in model.state_dict().items() if tied not in n}, spec["tensors"])
    if spec.get("real"):
        ids = AutoTokenizer.from_pretrained(spec["real"])(list(SENTENCES)).input_ids
        shortest = min(map(len, ids))
        spec = {**spec, "ids": [i[:shortest] for i in ids]}
    logits = model.double()(input_ids=token_ids(spec)).logits
    return {"ids": token_ids(spec).tolist(), "norm": float(logits.norm())}
