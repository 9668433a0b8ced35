"""Participants, shards and tokenizers for the tests of the tasks."""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.data.examples import Examples
from fedgrow.tasks import TASKS, Codec, Given
from tests.federation import tiny_plan

SHAPE = {"layers": 1, "width": 8, "heads": 2, "ffn": 8}
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four")


def images(count: int, *, channels: int = 1, size: int = 8, labels: list[str] | None = None) -> Examples:
    pixels = np.random.default_rng(0).random((count, channels, size, size), dtype=np.float32)
    return Examples(pixels, labels or [str(i % 3) for i in range(count)])


def texts(*rows: str, labels: list[str] | None = None) -> Examples:
    return Examples(list(rows), labels or ["x"] * len(rows))


def tokenizer(folder: Path, *, pad: bool = True, mask: bool = False) -> Path:
    """Save a tokenizer of whole words as BERT's: ``[CLS]`` and ``[SEP]`` around a text; with ``mask``, all its names."""
    words = (*WORDS, *(["[MASK]"] if mask else []))
    built = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "eos_token": "[SEP]"} | ({"pad_token": "[PAD]"} if pad else {})
    if mask:
        special |= {"mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    made = ["input_ids", *(["token_type_ids"] if mask else []), "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=built, model_input_names=made, **special).save_pretrained(folder)
    return folder


def entry(model: Any = SHAPE, **values: Any) -> ParticipantPlan:
    return ParticipantPlan(name="ada", model=str(model) if isinstance(model, Path) else model, **values)


def plan(task: str, **changes: Any) -> Plan:
    family = {
        "image-classification": "vit",
        "sequence-classification": "bert",
        "masked-language-modelling": "bert",
        "token-classification": "bert",
        "question-answering": "bert",
    }.get(task, "gpt2")
    return tiny_plan(task=task, family=family, model_settings={}, **changes)


def codec(task: str, shard: Examples, who: ParticipantPlan, config: Any = None, **changes: Any) -> Codec:
    return TASKS[task].codec(Given(plan(task, **changes), who, shard, config))
