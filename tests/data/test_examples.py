import numpy as np
import pytest

from fedgrow.data.examples import Examples

TEXTS = Examples(["a", "b", "c"], ["0", "1", "0"], {"site": ["x", "y", "z"]})
IMAGES = Examples(np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1))


def test_take_keeps_the_given_order_and_every_column():
    taken = TEXTS.take(np.array([2, 0]))
    assert (taken.texts, taken.labels, taken.columns) == (["c", "a"], ["0", "0"], {"site": ["z", "x"]})


def test_take_of_images():
    taken = IMAGES.take([2, 1])
    assert taken.images.ravel().tolist() == [2, 1]
    assert taken.labels is None


def test_take_of_nothing():
    assert len(TEXTS.take([])) == 0
    assert IMAGES.take([]).images.shape == (0, 1, 1, 1)


def test_texts_are_not_images():
    assert len(TEXTS) == 3
    with pytest.raises(TypeError, match="texts, not images"):
        _ = TEXTS.images
    with pytest.raises(TypeError, match="images, not texts"):
        _ = IMAGES.texts


@pytest.mark.parametrize("parts", [(["a"], ["0", "1"]), (["a"], None, {"site": []})])
def test_lengths_have_to_agree(parts):
    with pytest.raises(ValueError, match="differ in length"):
        Examples(*parts)
