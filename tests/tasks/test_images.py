"""Image classification: channels, size and scale of the pixels."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor

from fedgrow.architectures import Shape, families
from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError
from tests import tiny, zoo
from tests.architectures.folders import SHAPE
from tests.tasks.making import codec, entry, images

TASK = "image-classification"


def pixels(shard: Examples, config=None, model=None) -> torch.Tensor:
    made = codec(TASK, shard, entry(model) if model else entry(), config)
    return made.batch(made.encode(shard), range(len(shard)))[0]["pixel_values"]


def test_a_model_made_in_the_run_takes_the_datas_channels_and_size():
    values = codec(TASK, images(3, channels=1, size=6), entry()).config_values()
    assert (values["num_channels"], values["image_size"]) == (1, 6)


def test_pixels_are_centred():
    shard = images(3)
    assert torch.allclose(pixels(shard), torch.from_numpy(shard.images) * 2 - 1, atol=1e-6)


def test_pixels_are_float32():
    assert pixels(images(3)).dtype == torch.float32


def test_grey_images_are_repeated_over_the_models_channels(tmp_path):
    got = pixels(images(3), tiny.config("vit", SHAPE), tmp_path)
    assert got.shape == (3, 3, 8, 8)
    assert torch.equal(got[:, 0], got[:, 2])


@pytest.mark.parametrize(("size", "sides"), [(8, (8, 8)), ([8, 12], (8, 12))])
def test_images_are_resized_to_the_models_size(tmp_path, size, sides):
    config = tiny.config("vit", SHAPE, image_size=size)
    assert pixels(images(2, channels=3, size=20), config, tmp_path).shape == (2, 3, *sides)


def test_a_uniform_image_stays_uniform_when_resized(tmp_path):
    grey = Examples(np.full((1, 3, 20, 20), 0.75, dtype=np.float32), ["a"])
    assert torch.allclose(pixels(grey, tiny.config("vit", SHAPE), tmp_path), torch.tensor(0.5), atol=1e-2)


def test_coloured_images_for_a_grey_model_are_refused(tmp_path):
    with pytest.raises(FedgrowError, match="participant ada: images have 3 channels, its model takes 1"):
        codec(TASK, images(2, channels=3), entry(tmp_path), tiny.config("vit", SHAPE, num_channels=1))


def test_oblong_images_need_a_model_with_a_size():
    oblong = Examples(np.zeros((2, 1, 8, 6), dtype=np.float32), ["a", "b"])
    with pytest.raises(FedgrowError, match="images are 8 x 6; models made in the run need square ones"):
        codec(TASK, oblong, entry())


def test_the_processor_is_saved_beside_a_model_and_reads_the_same(tmp_path):
    shard = images(3)
    codec(TASK, shard, entry()).save(tmp_path)
    again = pixels(shard, tiny.config("vit", SHAPE, num_channels=1), tmp_path)
    assert torch.equal(again, pixels(shard))


def with_processor(folder, **settings):
    """Write an image processor that cuts out the middle, as DINOv2's."""
    values = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True, "size": {"shortest_edge": 16}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": 12, "width": 12},
        "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(values | settings))
    return folder


def test_a_processor_that_cuts_is_left_as_it_is_where_the_model_takes_its_size(tmp_path):
    shard = images(2, channels=3, size=20)
    config = zoo.config(families()["dinov2"], Shape(layers=1, width=8, heads=2, ffn=16), image_size=24)
    got = pixels(shard, config, with_processor(tmp_path))
    alone = AutoImageProcessor.from_pretrained(tmp_path)
    due = alone(list(shard.images), do_rescale=False, input_data_format="channels_first", return_tensors="pt")
    assert got.shape == (2, 3, 12, 12)
    assert torch.equal(got, due["pixel_values"])


def test_a_model_of_one_size_is_shown_whole_images(tmp_path):
    """And what is saved beside it does the same."""
    plain = np.full((1, 3, 20, 20), 0.5, dtype=np.float32)
    framed = plain.copy()
    framed[:, :, :3] = 0
    config = tiny.config("vit", SHAPE, image_size=8)
    made = codec(TASK, Examples(plain, ["a"]), entry(with_processor(tmp_path)), config)
    got = [made.encode(Examples(x, ["a"])).inputs[0] for x in (plain, framed)]
    assert got[0].shape == (3, 8, 8)
    assert (got[0] - got[1])[:, 0].abs().min() > 0.5
    made.save(tmp_path / "saved")
    alone = AutoImageProcessor.from_pretrained(tmp_path / "saved")
    again = alone(list(framed), do_rescale=False, input_data_format="channels_first", return_tensors="pt")
    assert torch.equal(again["pixel_values"][0], got[1])


def test_a_processor_of_other_channels_than_the_models_is_refused_by_name(tmp_path):
    config = tiny.config("vit", SHAPE, num_channels=1)
    with pytest.raises(
        FedgrowError, match=r"ada: the image processor in .* 3 values of image_mean, its model takes 1"
    ):
        codec(TASK, images(2), entry(with_processor(tmp_path)), config)


def test_there_is_no_vocabulary():
    assert codec(TASK, images(3), entry()).vocabulary_digest() is None
