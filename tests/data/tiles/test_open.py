"""Images of any kind become tile sources of the right channels."""

import numpy as np
import pytest
import torch
from PIL import Image

from monai_patchgrow.data import DataError, OpenImaged, TensorTiles, write_tiled_tiff

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


BORDER = [(slice(1, 3), slice(2, 4))]
TYPES = [(np.uint8, 255), (np.uint16, 65535), (np.int16, 1), (np.float32, 1)]


@pytest.mark.parametrize(("dtype", "white"), TYPES)
def test_white_beyond_the_border_follows_the_images_type(tmp_path, dtype, white):
    np.save(tmp_path / "a.npy", np.zeros((1, 2, 3), dtype))
    for image in (tmp_path / "a.npy", np.zeros((1, 2, 3), dtype), torch.from_numpy(np.zeros((1, 2, 3), dtype))):
        assert opened(image, padding=255 / 255).read(BORDER).tolist() == [[[[0, white], [white, white]]]]


def test_a_tiff_of_16_bits_has_white_beyond_its_border(tmp_path):
    write_tiled_tiff(tmp_path / "a.tiff", TensorTiles(torch.zeros(1, 16, 16, dtype=torch.uint16)), tile_size=16)
    assert opened(tmp_path / "a.tiff", padding=1).read([(slice(16, 17), slice(0, 1))]).item() == 65535


def test_a_padding_that_the_type_can_not_hold():
    with pytest.raises(ValueError, match=r"padding must be a value that torch.uint8 holds, got 510"):
        opened(torch.zeros(1, 2, 2, dtype=torch.uint8), padding=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_picture_of_16_bits_keeps_them(tmp_path, channels):
    pixels = np.array([[0, 300, 65535], [256, 40000, 7]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = opened(tmp_path / "a.png", channels=channels).read(WHOLE)
    assert read.dtype == torch.uint16
    assert read.tolist() == [[pixels.tolist()] * channels]


def test_a_suffix_in_capitals(tmp_path):
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.PNG")
    assert opened(tmp_path / "a.PNG").shape == (1, 2, 3)


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
