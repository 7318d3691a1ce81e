from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_patchgrow.data.tiles.array import ArrayTiles
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource, as_tile_source


def test_a_cell_of_rows_and_columns_is_not_transposed():
    source = TensorTiles(torch.arange(12).reshape(1, 3, 4))
    assert source.read([(slice(1, 3), slice(2, 4))]).tolist() == [[[[6, 7], [10, 11]]]]


def test_beyond_the_border_is_padding():
    source = TensorTiles(torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4), padding=9)
    patch = source.read([(slice(2, 4), slice(3, 5))])
    assert patch.dtype == torch.uint8
    assert patch.tolist() == [[[[11, 9], [9, 9]]]]


def test_cells_come_in_their_order():
    source = TensorTiles(torch.arange(6).reshape(1, 6))
    assert source.read([(slice(4, 6),), (slice(0, 2),)]).tolist() == [[[4, 5]], [[0, 1]]]


def test_a_volume_of_several_channels():
    image = torch.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    patch = TensorTiles(image).read([(slice(1, 3), slice(0, 5), slice(2, 4))])
    assert torch.equal(patch[0], image[:, 1:3, :, 2:4])


def test_patches_are_copies():
    image = torch.zeros(1, 4)
    TensorTiles(image).read([(slice(0, 2),)]).fill_(7)
    assert image.sum() == 0


def test_a_meta_tensor_gives_plain_patches():
    assert type(TensorTiles(MetaTensor(torch.zeros(1, 4))).read([(slice(0, 2),)])) is torch.Tensor


@pytest.mark.parametrize("shape", [(4,), (0, 4, 4), (1, 0)])
def test_what_is_no_image(shape):
    with pytest.raises(ValueError, match=r"an image must be a tensor \(C, \*spatial\) that isn't empty"):
        TensorTiles(torch.zeros(shape))


def test_a_tensor_becomes_a_source():
    source = as_tile_source(torch.zeros(1, 4), padding=3)
    assert isinstance(source, TensorTiles)
    assert source.padding == 3


def test_an_array_becomes_a_source():
    assert isinstance(as_tile_source(np.zeros((1, 4))), ArrayTiles)


def test_a_source_stays_itself():
    source = TensorTiles(torch.zeros(1, 4))
    assert as_tile_source(source) is source


def test_a_source_of_ones_own_is_one():
    class Ones:
        shape = (1, 8)

        def read(self, cells):
            return torch.ones(len(cells), 1, 2)

    assert isinstance(Ones(), TileSource)
    assert as_tile_source(Ones()).read([(slice(0, 2),)]).tolist() == [[[1, 1]]]


def test_what_no_source_is_made_of():
    with pytest.raises(ValueError, match="an image must be a tensor, an array or a tile source, got str"):
        as_tile_source("slide.tif")
