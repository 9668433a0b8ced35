"""Small examples and files for the tests of the data."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedgrow.config.plan import DataPlan
from fedgrow.data.examples import Examples
from fedgrow.data.forms import LabelledImages, LabelledTexts, Questions, TaggedWords, Texts

TEXT, IMAGE, LANGUAGE = LabelledTexts(), LabelledImages(), Texts()
WORDS, QUESTIONS = TaggedWords(), Questions()
SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared(path: str) -> str:
    """Return the path of a shared file, or skip the test."""
    if not (SHARED / path).is_file():
        pytest.skip(f"{SHARED / path} is not there")
    return str(SHARED / path)


def plan(source: Path | str, **settings: Any) -> DataPlan:
    return DataPlan(source=str(source), **settings)


def labelled(classes: int, each: int, column: list[str] | None = None) -> Examples:
    """Return texts ``0``, ``1``, ... with labels in turn."""
    labels = [f"class {i % classes}" for i in range(classes * each)]
    texts = [str(i) for i in range(len(labels))]
    return Examples(texts, labels, {} if column is None else {"site": column})


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
