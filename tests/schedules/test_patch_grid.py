"""PatchGrid: cells of an image in rows, borders included, in 1-D to 3-D."""

import numpy as np
import pytest

from monai_patchgrow.schedules.patch_grid import PatchGrid


@pytest.mark.parametrize(
    ("image", "patch", "stride", "shape"),
    [
        ((512, 512), (32, 32), None, (16, 16)),
        ((500, 500), (128, 128), None, (4, 4)),
        ((513, 511), (32, 32), None, (17, 16)),
        ((10,), (4,), None, (3,)),
        ((10,), (4,), (3,), (3,)),
        ((11,), (4,), (3,), (4,)),
        ((40, 56, 9), (16, 16, 8), None, (3, 4, 2)),
        ((3, 300), (32, 32), None, (1, 10)),
        ((4,), (4,), (1,), (1,)),
    ],
)
def test_shape(image, patch, stride, shape):
    assert PatchGrid(image, patch, stride).shape == shape


def test_cells_are_numbered_by_rows_and_rows_are_rows_of_the_image():
    grid = PatchGrid((4, 6), (2, 2))
    assert [grid.start(cell) for cell in range(grid.num_cells)] == [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]


def test_index_is_the_inverse_of_position():
    grid = PatchGrid((40, 56, 9), (16, 16, 8))
    assert [grid.index(grid.position(cell)) for cell in range(grid.num_cells)] == list(range(24))
    assert grid.position(13) == (1, 2, 1)


def test_overlapping_cells_start_a_stride_apart():
    assert PatchGrid((10,), (4,), (3,)).slices(1) == (slice(3, 7),)


@pytest.mark.parametrize(("stride", "most"), [(None, 1), ((3, 2), 4)])
def test_every_voxel_is_covered(stride, most):
    seen = np.zeros((11, 9), dtype=int)
    grid = PatchGrid((11, 9), (4, 3), stride)
    for cell in range(grid.num_cells):
        seen[grid.covers(cell)] += 1
    assert (seen.min(), seen.max()) == (1, most)


def test_last_cell_reaches_beyond_the_image_and_covers_what_is_left():
    grid = PatchGrid((500, 300), (128, 128))
    assert grid.slices(11) == (slice(384, 512), slice(256, 384))
    assert grid.covers(11) == (slice(384, 500), slice(256, 300))


def test_every_cell_starts_within_the_image():
    starts = [grid.start(grid.num_cells - 1)[0] for size in range(1, 40) for grid in [PatchGrid((size,), (5,), (4,))]]
    assert all(start < size for size, start in enumerate(starts, start=1))


def test_numpy_integers_and_lists_make_the_same_grid():
    assert PatchGrid(np.array([8, 6]), [2, 2]) == PatchGrid((8, 6), (2, 2), (2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 6), (2,)), r"as many axes, got \(8, 6\), \(2,\) and \(2,\)"),
        (((8, 6), (2, 2), (3, 2)), r"stride must be at most the patch, .* got 3 on axis 0 \(patch 2\)"),
        (((8, 6), (2, 0)), "patch_size on axis 1 must be an integer of at least 1, got 0"),
        (((8, 6.5), (2, 2)), "image_size on axis 1 must be an integer"),
        (((8, 6), (2, 2), (0, 2)), "stride on axis 0 must be an integer of at least 1"),
    ],
)
def test_what_is_no_grid_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchGrid(*arguments)


@pytest.mark.parametrize("cell", [-1, 12])
def test_cell_that_is_not_there_is_refused(cell):
    with pytest.raises(ValueError, match="cell must be an integer from 0 to 11"):
        PatchGrid((8, 6), (2, 2)).slices(cell)


@pytest.mark.parametrize("position", [(4, 0), (0, 3), (0,)])
def test_place_outside_of_the_grid_is_refused(position):
    with pytest.raises(ValueError, match="the grid has 4x3 cells"):
        PatchGrid((8, 6), (2, 2)).index(position)
