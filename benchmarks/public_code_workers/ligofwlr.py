"""Driver of Phoenix-Shen/LiGOFwlr: runs its trainer for text classification; calls its LiGOBERT and LiGOViT."""

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import torch
from measure import (
    CLASSIFY,
    LABELS,
    SEEDS,
    Batches,
    Spec,
    Train,
    bert_settings,
    check_same_small,
    count,
    difference,
    images,
    randomise,
    token_ids,
)
from safetensors.torch import load_file

TEMPLATE = "NLP/configs/template/text_classification.yaml"


def use(spec: Spec, part: str) -> None:
    sys.path.insert(0, str(Path(spec["folder"]) / part))
    import_timm()


def import_timm() -> None:
    """Import timm, which its models import; name the operators that torchvision misses if its build is not for CPU.

    No step below calls one of them. An ordinary pair of torch and torchvision passes at the first try.
    """
    for _ in range(100):
        try:
            importlib.import_module("timm.models.vision_transformer")
            return
        except RuntimeError as error:
            operator = str(error).partition("operator ")[2].partition(" does not exist")[0]
            if not operator.startswith("torchvision::"):
                raise
        torch.library.define(operator, "(Tensor x) -> Tensor")
        for module in [m for m in sys.modules if m.split(".")[0] in ("torchvision", "timm")]:
            del sys.modules[module]


def new_bert(spec: Spec) -> Any:
    from models.BERT import LiGOBERT
    from transformers import BertConfig, BertForSequenceClassification

    configs = (BertConfig(**bert_settings(spec[size], CLASSIFY)) for size in ("small", "large"))
    model = LiGOBERT(*configs, BertForSequenceClassification)
    model.small_model.load_state_dict(load_file(spec["tensors"]))
    return model


def new_vit(spec: Spec, depth: str, width: str) -> Any:
    from models.ViT import LiGOViT

    small, large = spec["small"], spec["large"]
    model = LiGOViT(
        n_hiddens=small["width"],
        n_layers=small["layers"],
        num_heads=small["heads"],
        target_hiddens=large["width"],
        target_layers=large["layers"],
        target_heads=large["heads"],
        num_classes=LABELS,
        width_init_scheme=width,
        depth_init_scheme=depth,
    )
    randomise(model.small_model)
    return model


def train(spec: Spec) -> Train:
    """Hand our batches to its own trainer, with the settings of its template."""
    use(spec, "NLP")
    import models.BERT  # noqa: F401  (now, so that memory is counted from here)
    import yaml
    from engine.classification_trainer import TrainerForClassification
    from model_args import ClassificationArgs

    def run(batches: Batches) -> None:
        args = ClassificationArgs()
        template = Path(spec["folder"]) / TEMPLATE
        args.update_from_dict(yaml.safe_load(template.read_text("utf-8")) | {"epochs": 1})
        model = new_bert(spec)
        batches.trained = count(model.parameters())
        TrainerForClassification().train(model, batches, "cpu", args)

    return run


@torch.no_grad()
def set_identity(model: Any) -> None:
    """Set every map of a growth between equal shapes to the identity: a correct growth then changes nothing."""
    for p in (
        model.embedding_expansion,
        *model.width_expansion_operator.values(),
        *model.depth_expansion_operator,
    ):
        torch.nn.init.eye_(p)


@torch.no_grad()
def bert_difference(model: Any, spec: Spec) -> dict[str, float]:
    model.double().eval()
    small = model.small_model(token_ids(spec)).logits
    check_same_small(small, spec)
    return difference(small, model(token_ids(spec)).logits)


@torch.no_grad()
def vit_difference(model: Any) -> dict[str, float]:
    model.double().eval()
    return difference(model.small_model(images().double()), model(images().double()))


def parity(spec: Spec) -> list[dict[str, Any]]:
    """Compare LiGOBERT's one start, and the control."""
    use(spec, "NLP")
    rows = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        rows.append({"start": "xavier_normal", **bert_difference(new_bert(spec), spec)})
    model = new_bert({**spec, "large": spec["small"]})
    set_identity(model)
    return [*rows, {"start": "control", **bert_difference(model, spec)}]


def vit_parity(spec: Spec) -> list[dict[str, Any]]:
    """Compare every start of LiGOViT, and the control."""
    use(spec, "CV")
    rows = []
    for depth, width, seed in itertools.product(spec["depths"], spec["widths"], range(SEEDS)):
        torch.manual_seed(seed)
        rows.append({"depth": depth, "width": width, **vit_difference(new_vit(spec, depth, width))})
    model = new_vit({**spec, "large": spec["small"]}, "constant", "xavier_normal")
    set_identity(model)
    return [*rows, {"depth": "control", "width": "control", **vit_difference(model)}]
