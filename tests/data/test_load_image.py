"""Images of any kind become tile sources of the right channels."""

import numpy as np
import pytest
import torch
from PIL import Image

from monai_patchgrow.data import DataError, OpenImaged

WHOLE = [(slice(0, 2), slice(0, 3))]


def opened(image, **options):
    return OpenImaged("image", **{"channels": 1, **options})({"image": image, "label": 1})["image"]


def test_a_picture_has_rows_and_columns(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png").read(WHOLE).tolist() == [[pixels.tolist()]]


def test_a_grey_picture_for_a_network_of_colours(tmp_path):
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png", channels=3).shape == (3, 2, 3)


def test_a_file_of_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 2, 3), np.float32))
    assert opened(tmp_path / "a.npy").read(WHOLE).sum() == 6


def test_a_tensor_with_padding():
    assert opened(torch.zeros(1, 2, 2), padding=4).read(WHOLE)[0, 0, :, 2].tolist() == [4, 4]


def test_other_channels_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 2, 3), np.float32))
    with pytest.raises(DataError, match=r"a\.npy: has 4 channels, the network takes 1"):
        opened(tmp_path / "a.npy")


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"a\.png: no picture that can be read"):
        opened(tmp_path / "a.png")


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        opened(tmp_path / "a.png")
