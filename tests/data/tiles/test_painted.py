"""Cells that a coarse look finds empty are painted and not read; all others are read as they are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from monai_patchgrow.data.tiles.array import MemmapTiles
from monai_patchgrow.data.tiles.painted import PaintedTiles
from monai_patchgrow.data.tiles.source import TensorTiles

CELLS = [(slice(first, first + 4),) for first in range(0, 32, 4)]
GLASS = torch.tensor([[243, 244] * 16], dtype=torch.uint8)


class Counting(TensorTiles):
    """A source that notes which voxels each read starts at."""

    def __init__(self, image, **options):
        super().__init__(image, **options)
        self.starts = []

    def read(self, cells):
        self.starts.extend(cell[0].start for cell in cells)
        return super().read(cells)


def with_tissue(*places):
    image = GLASS.clone()
    image[:, list(places)] = 100
    return image


class Coarse:
    """Every other voxel, and how often it was asked for."""

    def __init__(self, image):
        self.image, self.calls = image, 0

    def __call__(self):
        self.calls += 1
        return self.image[(slice(None), *[slice(None, None, 2)] * (self.image.ndim - 1))]


def painted(image, *, threshold=220, colour=255, **options):
    return PaintedTiles(Counting(image), Coarse(image), threshold=threshold, colour=colour, **options)


def test_empty_cells_are_of_one_colour():
    patches = painted(with_tissue(16)).read(CELLS)
    assert patches.shape == (8, 1, 4)
    assert patches.dtype == torch.uint8
    assert [set(patch.flatten().tolist()) for patch in patches[:3]] == [{255}] * 3


def test_cells_with_foreground_and_those_beside_it_are_read_as_they_are():
    image = with_tissue(16)
    source = painted(image)
    patches = source.read(CELLS)
    assert torch.equal(patches[3:5].flatten(), image[0, 12:20])
    assert [start for start in source.source.starts if start] == [12, 16]


def test_only_one_voxel_is_read_of_an_empty_image():
    source = painted(GLASS)
    assert source.read(CELLS).unique().tolist() == [255]
    assert source.read(CELLS).unique().tolist() == [255]
    assert source.source.starts == [0]


def test_dark_air_is_background_too():
    image = torch.zeros(1, 32)
    image[:, 2] = 300.0
    source = painted(image, threshold=50, background="dark", colour=-1)
    assert [patch.max().item() for patch in source.read(CELLS)] == [300, 0, -1, -1, -1, -1, -1, -1]


def test_the_threshold_itself_is_background():
    image = torch.full((1, 32), 220, dtype=torch.uint8)
    assert painted(image).read(CELLS[:1]).tolist() == [[[255] * 4]]
    assert painted(image, threshold=221).read(CELLS[:1]).tolist() == [[[220] * 4]]


def test_channels_are_averaged():
    image = torch.cat([torch.full((1, 32), 255), torch.full((1, 32), 190)])
    assert painted(image).read(CELLS[:1]).unique().tolist() == [255]


@pytest.mark.parametrize("size", [1, 3, 8, 40])
def test_patches_of_any_size(size):
    image = with_tissue(20)
    source = painted(image)
    reads = {start: source.read([(slice(start, start + size),)])[0] for start in range(0, 32, size)}
    assert any((patch == 100).any() for patch in reads.values())
    whole = torch.cat(list(reads.values()), dim=1)[:, :32]
    assert torch.equal(whole[whole != 255], image[whole != 255])


def test_cells_beyond_the_border():
    image = with_tissue(30)
    patches = painted(image).read([(slice(-8, -4),), (slice(-2, 2),), (slice(30, 34),), (slice(40, 44),)])
    assert patches.flatten(1).tolist() == [[255] * 4, [255] * 4, [100, 244, 0, 0], [255] * 4]


def test_a_coarse_image_of_another_scale_per_axis():
    image = torch.full((1, 9, 8), 250, dtype=torch.uint8)
    image[0, 8, 0] = 0
    coarse = torch.tensor([[[250, 250], [250, 250], [0, 250]]])
    source = PaintedTiles(TensorTiles(image), lambda: coarse, threshold=220, colour=255)
    cells = [(slice(row, row + 3), slice(0, 4)) for row in (0, 3, 6)]
    assert [patch.min().item() for patch in source.read(cells)] == [255, 250, 0]


def test_the_coarse_image_is_made_once_and_only_when_it_is_needed():
    source = painted(with_tissue(3))
    assert source.coarse.calls == 0
    source.read(CELLS)
    source.read(CELLS)
    assert source.coarse.calls == 1


def test_it_arrives_in_another_process_without_what_it_has_seen():
    source = painted(with_tissue(3))
    expected = source.read(CELLS)
    arrived = pickle.loads(pickle.dumps(source))
    assert arrived.coarse.calls == 1
    assert torch.equal(arrived.read(CELLS), expected)
    assert arrived.coarse.calls == 2


def test_a_type_that_torch_cannot_index_by_lists():
    image = with_tissue(2).to(torch.uint16)
    patches = PaintedTiles(TensorTiles(image), lambda: image[:, ::2].int(), threshold=220, colour=65535).read(CELLS)
    assert patches[:, 0, 2].tolist() == [100, 243, *[65535] * 6]


def test_the_file_is_named(tmp_path):
    np.save(tmp_path / "slide.npy", GLASS.numpy())
    source = PaintedTiles(MemmapTiles(tmp_path / "slide.npy"), lambda: GLASS, threshold=220, colour=255)
    assert (source.path, source.shape) == (tmp_path / "slide.npy", (1, 32))
    assert painted(GLASS).path is None


def test_another_word_for_background():
    with pytest.raises(ValueError, match="background must be 'bright' or 'dark', got 'white'"):
        painted(GLASS, background="white")


@pytest.mark.parametrize("colour", [300, 254.5])
def test_a_colour_that_the_image_cannot_hold(colour):
    with pytest.raises(ValueError, match=f"colour must be a value that torch.uint8 holds, got {colour}"):
        painted(GLASS, colour=colour).read(CELLS)


def test_a_coarse_image_of_other_axes():
    source = PaintedTiles(TensorTiles(GLASS), lambda: torch.zeros(1, 4, 4), threshold=220, colour=255)
    with pytest.raises(ValueError, match="the coarse image must have 1 spatial axes, got 2"):
        source.read(CELLS)
