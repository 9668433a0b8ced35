"""Features of a classifying model: what its last linear map reads, before the head's own dropout; one vector an example.

Where that map stands is in the family's table: it is the module of the head's tensor whose rows are labels. A dropout of
the head's own stands beside it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedgrow.architectures import Reading
from fedgrow.architectures.outputs import tensor_of
from fedgrow.errors import ArchitectureError
from fedgrow.tasks.base import Codec, Encoded

TASKS = ("sequence-classification", "image-classification")  # one class, so one feature, an example


class Classifier(NamedTuple):
    """The last linear map of a head: the module's path, and how many entries it reads."""

    path: str
    width: int


def classifier_of(model: nn.Module, reading: Reading) -> Classifier:
    """Find a model's classifier in its family's table.

    Args:
        model: the model; its tensors need no values.
        reading: what the table says about it.

    Raises:
        ArchitectureError: the table has no head with labels for this model.
    """
    tensors = reading.family.heads[reading.head].tensors if reading.head else {}
    for name, axes in tensors.items():
        if len(axes) == 2 and axes[0] == "label":
            return Classifier(name.rpartition(".")[0], model.get_parameter(name).shape[1])
    raise ArchitectureError(
        f"{reading.family.family}: head {reading.head} has no linear map to labels; features need a classifier"
    )


def with_features(
    module: nn.Module, path: str, call: Callable[[], Tensor], inputs: Mapping[str, Tensor]
) -> tuple[Tensor, Float[Tensor, "batch width"]]:
    """Run a model and return what it returns, with the feature of every example, as it is before the head's dropout.

    Decoders classify every token and take the answer at the last one; so is the feature.

    Args:
        module: the model.
        path: path of its classifier.
        call: runs it on ``inputs``.
        inputs: its keyword arguments.
    """
    seen: list[Tensor] = []
    reader = _dropout(module, path) or module.get_submodule(path)
    handle = reader.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        output = call()
    finally:
        handle.remove()
    feature = seen[-1]  # the last: some heads use their dropout before a layer of their own, too
    if feature.dim() == 3:
        last = inputs["attention_mask"].sum(-1) - 1  # texts are padded on the right
        feature = feature[torch.arange(len(feature)), last]
    return output, feature


def _dropout(module: nn.Module, path: str) -> nn.Dropout | None:
    """Return the dropout that stands beside a classifier, if there is one."""
    found = getattr(module.get_submodule(path.rpartition(".")[0]), "dropout", None)
    return found if isinstance(found, nn.Dropout) else None


@torch.no_grad()
def frozen_features(
    model: nn.Module, path: str, data: Encoded, codec: Codec, batch_size: int
) -> Float[Tensor, "examples width"]:
    """Return the features of all examples under a model as it is, without dropout."""
    model.eval()
    found = []
    for begin in range(0, len(data), batch_size):
        inputs, _ = codec.batch(data, range(begin, min(begin + batch_size, len(data))))
        _, feature = with_features(model, path, lambda given=inputs: tensor_of(model(**given)), inputs)  # type: ignore[misc]
        found.append(feature)
    return torch.cat(found)
