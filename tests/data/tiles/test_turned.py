"""A turned image reads as the tensor that torch flips and turns: inside, at borders and beyond them."""

import pickle

import pytest
import torch
from torch.testing import assert_close

from monai_patchgrow.data import DataError
from monai_patchgrow.data.synthetic.phantom_slides import PhantomSlide
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource
from monai_patchgrow.data.tiles.turned import TurnedTiles, parse_axes
from monai_patchgrow.schedules.patch_grid import PatchGrid

PADDING = 7


def image_of(*size):
    """An image `(2, *size)` of which no two voxels are alike."""
    return torch.arange(100, 100 + 2 * torch.Size(size).numel()).reshape(2, *size)


def read_all(source, patch):
    grid = PatchGrid(source.shape[1:], patch)
    return source.read([grid.slices(cell) for cell in range(grid.num_cells)])


def same(image, expected, *, patch, **turn):
    """Whether all cells of the turned source are those of the turned tensor."""
    turned = TurnedTiles(TensorTiles(image, padding=PADDING), **turn)
    assert turned.shape == tuple(expected.shape)
    wanted = TensorTiles(expected, padding=PADDING)
    assert_close(read_all(turned, patch), read_all(wanted, patch), rtol=0, atol=0)


# The last cells reach beyond the border: 7, 5, 6 are no multiples of the patch.
@pytest.mark.parametrize(
    ("size", "patch", "flips"),
    [
        ((7,), (3,), (0,)),
        ((7, 5), (3, 2), (0,)),
        ((7, 5), (3, 2), (1,)),
        ((7, 5), (3, 2), (1, 0)),
        ((7, 5, 6), (3, 2, 4), (2,)),
        ((7, 5, 6), (3, 2, 4), (0, 1, 2)),
    ],
)
def test_a_mirrored_image(size, patch, flips):
    image = image_of(*size)
    same(image, image.flip([1 + axis for axis in flips]), patch=patch, flips=flips)


@pytest.mark.parametrize("patch", [(3, 3), (4, 2)])
@pytest.mark.parametrize(
    ("turns", "options"),
    [
        (1, {"permutation": (1, 0), "flips": (0,)}),
        (2, {"flips": (0, 1)}),
        (3, {"permutation": (1, 0), "flips": (1,)}),
    ],
)
def test_quarter_turns(turns, options, patch):
    image = image_of(7, 5)
    same(image, image.rot90(turns, (1, 2)), patch=patch, **options)


def test_axes_of_a_volume_in_another_order():
    image = image_of(7, 5, 6)
    same(image, image.permute(0, 3, 1, 2).flip(1), patch=(4, 3, 2), permutation=(2, 0, 1), flips=(0,))


def test_an_image_smaller_than_the_patch():
    image = image_of(2, 5)
    same(image, image.rot90(1, (1, 2)), patch=(8, 8), permutation=(1, 0), flips=(0,))


def test_a_cell_before_the_border():
    turned = TurnedTiles(TensorTiles(torch.tensor([[1, 2, 3]]), padding=PADDING), flips=(0,))
    assert turned.read([(slice(-1, 2),), (slice(2, 5),), (slice(9, 12),)]).tolist() == [
        [[PADDING, 3, 2]], [[1, PADDING, PADDING]], [[PADDING] * 3],
    ]  # fmt: skip


def test_a_turned_image_turned_back():
    image = image_of(7, 5)
    turned = TurnedTiles(TensorTiles(image, padding=PADDING), permutation=(1, 0), flips=(0,))
    back = TurnedTiles(turned, permutation=(1, 0), flips=(1,))
    assert_close(read_all(back, (3, 2)), read_all(TensorTiles(image, padding=PADDING), (3, 2)), rtol=0, atol=0)


def test_without_a_turn_it_is_the_image():
    same(image_of(7, 5), image_of(7, 5), patch=(3, 2))


def test_bytes_stay_bytes():
    assert read_all(TurnedTiles(PhantomSlide((32, 48)), flips=(0,)), (16, 16)).dtype == torch.uint8


def test_it_is_a_tile_source():
    assert isinstance(TurnedTiles(TensorTiles(image_of(3))), TileSource)


def test_it_keeps_the_file_s_name():
    class Named(TensorTiles):
        path = "a.tiff"

    assert TurnedTiles(Named(image_of(3))).path == "a.tiff"
    assert TurnedTiles(TensorTiles(image_of(3))).path is None


def test_it_can_be_pickled():
    turned = TurnedTiles(TensorTiles(image_of(7, 5)), permutation=(1, 0), flips=(0,))
    copy = pickle.loads(pickle.dumps(turned))
    assert_close(read_all(copy, (3, 2)), read_all(turned, (3, 2)), rtol=0, atol=0)


def test_an_error_names_the_place_in_the_file():
    class Broken(TensorTiles):
        def read(self, cells):
            raise DataError(f"a.tiff: no tile at {cells[0]}")

    turned = TurnedTiles(Broken(image_of(100, 60)), permutation=(1, 0), flips=(1,))
    with pytest.raises(DataError, match=r"no tile at \(slice\(84, 100, None\), slice\(8, 24, None\)\)"):
        turned.read([(slice(8, 24), slice(0, 16))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"permutation": (0, 2)}, r"permutation must hold each axis of \(0, 1\) once, got \(0, 2\)"),
        ({"permutation": (0,)}, r"permutation must hold each axis of \(0, 1\) once, got \(0,\)"),
        ({"flips": (2,)}, r"flips must be a list of different axes of \[0, 1\], got \(2,\)"),
    ],
)
def test_axes_that_are_not_there(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TurnedTiles(TensorTiles(image_of(7, 5)), **options)


def test_a_cell_of_other_axes():
    with pytest.raises(ValueError, match="a cell is 2 slices"):
        TurnedTiles(TensorTiles(image_of(7, 5))).read([(slice(0, 3),)])


@pytest.mark.parametrize("axes", [[-1], [0, 0], [True], ["0"], [0.0], 1, "01", None])
def test_what_is_no_list_of_axes(axes):
    with pytest.raises(ValueError, match=r"^mirror_axes must be a list of different axes of \[0, 1\], got "):
        parse_axes(axes, spatial_dims=2, name="mirror_axes")
