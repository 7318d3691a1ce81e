"""A thumbnail is the mean of each block of pixels, however the image is read."""

import numpy as np
import pytest
import torch

from monai_patchgrow.data import PaintedTiles, SlideTiles, TensorTiles, TiffTiles, coarse_thumbnail, thumbnail
from monai_patchgrow.data.tiles.thumbnail import PlaneTiles


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


VALUES = [10, 20, 30]  # of the levels of a pyramid: 64 x 48, 32 x 24 and 16 x 12 pixels


@pytest.fixture
def pyramid(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        for number, value in enumerate(VALUES):
            pixels = np.full((64 >> number, 48 >> number, 3), value, np.uint8)
            options = {"tile": (16, 16), "compression": "zlib", "photometric": "rgb", "metadata": None}
            writer.write(pixels, subfiletype=int(number > 0), **options)
    return tmp_path / "slide.tif"


@pytest.mark.parametrize(
    ("largest", "level", "value", "shape"),
    [
        (16, 0, 30, (3, 16, 12)),
        (8, 0, 30, (3, 8, 6)),
        (20, 0, 20, (3, 16, 12)),
        (32, 1, 20, (3, 32, 24)),
        (16, 1, 30, (3, 16, 12)),
        (64, 0, 10, (3, 64, 48)),
        (8, 2, 30, (3, 8, 6)),
    ],
)
def test_the_coarsest_level_with_enough_pixels_is_read(pyramid, largest, level, value, shape):
    with TiffTiles(pyramid, level=level) as source:
        assert source.num_levels == 3
        picture = coarse_thumbnail(source, largest=largest)
    assert (picture.shape, picture.unique().tolist()) == (shape, [value])


def test_a_slide_has_levels_too(pyramid):
    pytest.importorskip("openslide", reason="needs the extra slides")
    with SlideTiles(pyramid) as source:
        assert source.num_levels == 3
        assert coarse_thumbnail(source, largest=16).unique().tolist() == [30]


def test_an_image_without_levels_is_averaged_itself():
    image = torch.rand(1, 20, 30)
    assert torch.equal(coarse_thumbnail(TensorTiles(image), largest=15), thumbnail(TensorTiles(image), largest=15))


def test_of_a_painted_image_a_coarse_level_is_read_too(pyramid):
    with TiffTiles(pyramid) as source:
        painted = PaintedTiles(source, lambda: torch.zeros(1, 1, 1), threshold=1, colour=0, background="dark")
        assert coarse_thumbnail(painted, largest=16).unique().tolist() == [30]
