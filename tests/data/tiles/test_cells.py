from __future__ import annotations

import pytest
import torch

from monai_patchgrow.data.tiles.cells import format_cell, overlap, parse_cells, parse_padding

RGB = (3, 10, 8)


def test_starts_and_the_common_size():
    cells = [(slice(0, 4), slice(6, 10)), (slice(-4, 0), slice(0, 4))]
    assert parse_cells(cells, RGB) == ([(0, 6), (-4, 0)], (4, 4))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "no cells to read: give at least one"),
        ([(slice(0, 4),)], r"a cell is 2 slices .* got \(slice\(0, 4, None\),\)"),
        ([(slice(0, 4), slice(0, 4, 2))], "no step"),
        ([(slice(4), slice(0, 4))], "start below stop"),
        ([(slice(4, 4), slice(0, 4))], "start below stop"),
        ([(slice(0, 4), slice(0, 4)), (slice(0, 2), slice(0, 4))], r"one size, got \[\(2, 4\), \(4, 4\)\]"),
    ],
)
def test_cells_that_cannot_be_read(cells, message):
    with pytest.raises(ValueError, match=message):
        parse_cells(cells, RGB)


def test_a_cell_inside_the_image_is_all_there():
    assert overlap((2, 3), (4, 4), (10, 8)) == ((slice(2, 6), slice(3, 7)), (slice(0, 4), slice(0, 4)))


@pytest.mark.parametrize("start", [(10, 0), (0, -4), (-9, 20)])
def test_nothing_of_a_cell_outside_is_there(start):
    assert overlap(start, (4, 4), (10, 8)) is None


def test_a_place_in_words():
    assert format_cell((0, 256, 7), (256, 256, 1)) == "[0:256, 256:512, 7:8]"


@pytest.mark.parametrize(("padding", "dtype"), [(255, torch.uint8), (0.1, torch.float32), (-1, torch.int16)])
def test_a_padding_that_the_type_holds(padding, dtype):
    assert parse_padding(padding, dtype) == padding


@pytest.mark.parametrize(("padding", "dtype"), [(256, torch.uint8), (-1, torch.uint8), (0.5, torch.int16)])
def test_a_padding_that_the_type_does_not_hold(padding, dtype):
    with pytest.raises(ValueError, match=rf"padding must be a value that {dtype} holds, got {padding}"):
        parse_padding(padding, dtype)
