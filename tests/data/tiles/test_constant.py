"""Of a chunk's patches that hold one and the same constant, one is kept for all."""

from __future__ import annotations

import pytest
import torch

from monai_patchgrow.data.tiles.constant import merge_constant_patches

EMPTY, WHITE, DIGIT, NEARLY = (0, 0, 0, 0), (9, 9, 9, 9), (0, 0, 0, 5), (0, 5, 0, 0)


def chunk(*patches, dtype=torch.uint8):
    """Patches `(N, 1, 2, 2)`, each given by its four voxels."""
    return torch.tensor(patches, dtype=dtype).reshape(-1, 1, 2, 2)


def rows_of(patches):
    kept, rows = merge_constant_patches(patches)
    assert torch.equal(kept[rows], patches)
    return rows.tolist()


def test_patches_of_one_constant_share_a_row():
    assert rows_of(chunk(EMPTY, DIGIT, EMPTY, EMPTY)) == [0, 1, 0, 0]


def test_other_constants_have_other_rows():
    assert rows_of(chunk(DIGIT, WHITE, EMPTY, WHITE, EMPTY)) == [0, 1, 2, 1, 2]


def test_patches_that_are_alike_but_not_constant_are_all_kept():
    assert rows_of(chunk(DIGIT, DIGIT, NEARLY, NEARLY)) == [0, 1, 2, 3]


def test_one_voxel_in_the_middle_makes_a_patch_its_own():
    assert rows_of(chunk(EMPTY, NEARLY, EMPTY)) == [0, 1, 0]


def test_channels_may_have_constants_of_their_own():
    patches = torch.cat([chunk(EMPTY, EMPTY, EMPTY), chunk(WHITE, EMPTY, WHITE)], dim=1)
    assert rows_of(patches) == [0, 1, 0]


def test_where_none_is_shared_nothing_is_copied():
    patches = chunk(EMPTY, WHITE, DIGIT)
    assert merge_constant_patches(patches)[0] is patches


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int32, torch.float16, torch.float64, torch.bool])
def test_any_type_of_voxel(dtype):
    patches = chunk(EMPTY, DIGIT, EMPTY, dtype=dtype)
    kept, rows = merge_constant_patches(patches)
    assert (kept.dtype, rows.tolist()) == (dtype, [0, 1, 0])


def test_what_is_not_a_number_is_like_nothing():
    assert merge_constant_patches(torch.full((2, 1, 4), torch.nan))[1].tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 1, 3)])
def test_any_number_of_axes(shape):
    patches = torch.ones(3, 2, *shape)
    patches[1, 0].flatten()[4] = 2
    assert rows_of(patches) == [0, 1, 0]
