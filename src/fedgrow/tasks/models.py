"""A small model for a task and its data: loaded with the task's head, labels and tokenizer checked against it."""

from pathlib import Path
from typing import Any

from torch import nn

from fedgrow.architectures.models import load_model
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec, Task

FROM_DATA = ("id2label", "label2id", "pad_token_id")


def load_for(folder: str | Path, task: Task, codec: Codec, *, seed: int) -> tuple[nn.Module, list[str]]:
    """Load a model for a task, with the labels of its data; the head is made anew where the folder has none.

    Args:
        folder: local folder or hub id.
        task: the task, which names the head.
        codec: the tokenizer or image processor, and the labels.
        seed: seed of newly made parts.

    Returns:
        The model, and the names of newly made tensors.

    Raises:
        FedgrowError: the model cannot be loaded, holds values that are not finite, or its vocabulary is smaller than the
            tokenizer's.
    """
    values = codec.config_values()
    given = {k: v for k, v in values.items() if k in FROM_DATA and v is not None}
    model, fresh = load_model(folder, task.name, seed=seed, **given)
    config: Any = model.config
    config.problem_type = None  # each task has one loss; a model may have been trained for another
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise FedgrowError(
                f"model {str(folder)!r}: tensor {name} holds values that are not finite; give one without them"
            )
    if (size := values.get("vocab_size")) is not None:
        check_vocabulary(size, config)
    return model, fresh


def check_vocabulary(size: int, config: Any) -> None:
    """Refuse a tokenizer with more entries than the model's vocabulary.

    Raises:
        FedgrowError: it has more.
    """
    if size > config.vocab_size:
        raise FedgrowError(
            f"its tokenizer has {size} entries, its model's vocabulary {config.vocab_size}; "
            "use the tokenizer that the model was trained with"
        )
