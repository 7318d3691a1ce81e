"""A thumbnail is the mean of each block of pixels, however the image is read."""

import torch

from monai_patchgrow.data import TensorTiles, thumbnail
from monai_patchgrow.data.thumbnail import PlaneTiles


def test_a_small_image_stays_as_it_is():
    image = torch.rand(3, 20, 30)
    assert torch.equal(thumbnail(TensorTiles(image), largest=30), image)


def test_blocks_that_are_read_apart_join():
    image = torch.rand(1, 2050, 1500, dtype=torch.float64).float()
    picture = thumbnail(TensorTiles(image), largest=1030)
    assert picture.shape == (1, 1025, 750)
    torch.testing.assert_close(picture, torch.nn.functional.avg_pool2d(image, 2))


def test_the_last_block_has_its_padding():
    picture = thumbnail(TensorTiles(torch.ones(1, 3, 3), padding=5), largest=2)
    assert picture.tolist() == [[[1.0, 3.0], [3.0, 4.0]]]


def test_a_plane_of_a_volume():
    volume = torch.rand(2, 4, 5, 6)
    plane = PlaneTiles(TensorTiles(volume), at=3)
    assert plane.shape == (2, 4, 5)
    assert torch.equal(plane.read([(slice(0, 4), slice(0, 5))])[0], volume[..., 3])
