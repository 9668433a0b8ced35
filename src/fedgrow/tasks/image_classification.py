"""Image classification: one class per image."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgrow.architectures import family_of
from fedgrow.architectures.configuration import image_sides
from fedgrow.architectures.models import quiet
from fedgrow.config.plan import ParticipantPlan
from fedgrow.data.examples import Examples
from fedgrow.data.forms import LabelledImages
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec, Encoded, Given
from fedgrow.tasks.classification import Classification, class_ids, class_labels, label_config


class ImageClassification(Classification):
    """Accuracy, macro precision and macro F1 over a participant's own labels."""

    name = "image-classification"
    form = LabelledImages()
    reads_text = False

    def codec(self, given: Given) -> Codec:
        """Use the image processor beside the model, or one of the data's own size for a model made in the run.

        Raises:
            FedgrowError: images, processor and model do not go together.
        """
        labels = class_labels(given.shard, given.closed_labels, given.config)
        config = given.config
        channels, height, width = given.shard.images.shape[1:]
        if config is None:
            if height != width:
                raise FedgrowError(f"images are {height} x {width}; models made in the run need square ones")
            return ImageCodec(_plain({"height": height, "width": width}, channels), labels, channels, height)
        if channels not in (1, config.num_channels):
            raise FedgrowError(
                f"participant {given.participant.name}: images have {channels} channels, "
                f"its model takes {config.num_channels}"
            )
        return ImageCodec(_beside(given.participant, config), labels, config.num_channels, config.image_size)


def _plain(size: dict[str, int], channels: int) -> Any:
    from transformers import ViTImageProcessorPil  # here: it takes a second, and most plans are of texts

    half = [0.5] * channels
    return ViTImageProcessorPil(size=size, image_mean=half, image_std=half)


def _beside(participant: ParticipantPlan, config: Any) -> Any:
    """Load the image processor beside a model; where it makes other sizes than the model takes, have it make those, uncut.

    Raises:
        FedgrowError: it normalises another number of channels than the model takes.
    """
    from transformers import AutoImageProcessor

    height, width = image_sides(config.image_size)
    size = {"height": height, "width": width}
    load = partial(AutoImageProcessor.from_pretrained, participant.model, trust_remote_code=False)
    try:
        with quiet():
            processor = load()
            if not _fits(processor, config):
                processor = load(size=size, do_resize=True, do_center_crop=False)
    except (OSError, ValueError):
        return _plain(size, config.num_channels)
    for name in ("image_mean", "image_std"):
        values = getattr(processor, name, None)
        if isinstance(values, Sequence) and len(values) != config.num_channels:
            raise FedgrowError(
                f"participant {participant.name}: the image processor in {str(participant.model)!r} has {len(values)} "
                f"values of {name}, its model takes {config.num_channels} channels; correct its preprocessor_config.json"
            )
    return processor


def _fits(processor: Any, config: Any) -> bool:
    """Whether a processor's own size is the model's, or one that the model takes as well."""
    made = _sides_of(getattr(processor, "crop_size" if _cuts(processor) else "size", None))
    return made == image_sides(config.image_size) or (made is not None and family_of(config).any_image_size)


def _cuts(processor: Any) -> bool:
    return bool(getattr(processor, "do_center_crop", False))


def _sides_of(size: Any) -> tuple[int, int] | None:
    """Return the height and width that a processor's setting says; None where they hang on the image."""
    height, width = getattr(size, "height", None), getattr(size, "width", None)
    return None if height is None or width is None else (height, width)


class ImageCodec(Codec):
    """Pixels resized and normalised by the image processor, and class ids."""

    def __init__(
        self, processor: Any, labels: Sequence[str], channels: int, size: int | Sequence[int]
    ) -> None:
        self.processor, self._labels, self.channels, self.size = processor, labels, channels, size

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""
        return self._labels

    def encode(self, examples: Examples) -> Encoded:
        """Process every image; grey ones are repeated over the model's channels."""
        images = examples.images
        if images.shape[1] == 1 and self.channels > 1:
            images = np.repeat(images, self.channels, axis=1)
        resized = _cuts(self.processor) or images.shape[2:] != _sides_of(self.processor.size)
        pixels = self.processor(
            list(images),
            do_rescale=False,
            do_resize=resized,  # of what has the size already, it would round pixels to 8 bits
            input_data_format="channels_first",
            return_tensors="pt",
        )["pixel_values"]
        return Encoded(list(pixels.to(torch.float32)), class_ids(examples, self._labels))

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Stack images: (batch, channels, height, width)."""
        assert encoded.targets is not None
        pixels = torch.stack([encoded.inputs[i] for i in indices])
        return {"pixel_values": pixels}, encoded.targets[torch.tensor(indices)]

    def config_values(self) -> dict[str, Any]:
        """Labels, channels and image size."""
        return label_config(self._labels) | {"num_channels": self.channels, "image_size": self.size}

    def save(self, folder: Path) -> None:
        """Write the image processor."""
        self.processor.save_pretrained(folder)
