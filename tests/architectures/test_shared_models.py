"""Models of the real world, downloaded beforehand."""

from pathlib import Path

import pytest
import torch

from fedgrow.architectures import Shape, read
from fedgrow.architectures.models import load_model

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
CLASSIFY, FILL, IMAGES = "sequence-classification", "masked-language-modelling", "image-classification"
SHAPES = {
    "bert-tiny-l2-h128": Shape(layers=2, width=128, heads=2),
    "minilm-l3-h384": Shape(layers=3, width=384, heads=12),
    "minilm-l6-h384": Shape(layers=6, width=384, heads=12),
    "vit-s14-h384-l12": Shape(layers=12, width=384, heads=6),
}
HEADS = [
    ("bert-tiny-l2-h128", None),
    ("bert-tiny-l2-h128", CLASSIFY),
    ("bert-tiny-l2-h128", FILL),
    ("minilm-l3-h384", None),
    ("minilm-l3-h384", CLASSIFY),
    ("minilm-l6-h384", None),
    ("minilm-l6-h384", CLASSIFY),
    ("vit-s14-h384-l12", None),
    ("vit-s14-h384-l12", IMAGES),
]

pytestmark = pytest.mark.shared


def test_every_model_there_is_read_here():
    if not MODELS.is_dir():
        pytest.skip(f"no real models in {MODELS}")
    assert {folder.name for folder in MODELS.iterdir() if folder.is_dir()} <= set(SHAPES)


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_it_loads_and_reads(name, head):
    if not (MODELS / name).is_dir():
        pytest.skip(f"no real model in {MODELS / name}")
    model, new = load_model(MODELS / name, head)
    reading = read(model)
    assert (reading.shape, reading.head) == (SHAPES[name], head)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    body = {n for spec in reading.specs if spec.part == "body" for n in spec.names(reading.shape)}
    assert not body & set(new)


def test_the_trained_masked_language_head_is_kept():
    if not (MODELS / "bert-tiny-l2-h128").is_dir():
        pytest.skip(f"no real model in {MODELS / 'bert-tiny-l2-h128'}")
    assert load_model(MODELS / "bert-tiny-l2-h128", FILL)[1] == []
