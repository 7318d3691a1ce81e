from __future__ import annotations

import pytest
import torch

from monai_patchgrow.data.background import background_cells, constant_cells, share_cells
from monai_patchgrow.data.phantom_slide import PhantomSlide
from monai_patchgrow.data.tiles import TensorTiles
from monai_patchgrow.schedules.patch_grid import PatchGrid


def rows_of(*cells):
    """An image `(1, 2, 2n)` of cells of 2 x 2, each given by its four voxels."""
    return torch.cat([torch.tensor(cell, dtype=torch.uint8).reshape(1, 2, 2) for cell in cells], dim=2)


EMPTY, WHITE, DIGIT = (0, 0, 0, 0), (9, 9, 9, 9), (0, 0, 0, 5)


def groups_of(image, **options):
    return constant_cells(TensorTiles(image), PatchGrid(image.shape[1:], (2, 2)), **options)


# cells that are all alike


def test_cells_of_one_constant_are_a_group():
    assert groups_of(rows_of(EMPTY, DIGIT, EMPTY, EMPTY)) == ((0, 2, 3),)


def test_other_constants_are_other_groups():
    assert groups_of(rows_of(WHITE, EMPTY, WHITE, EMPTY)) == ((0, 2), (1, 3))


def test_a_constant_that_is_there_once_is_no_group():
    assert groups_of(rows_of(EMPTY, WHITE, DIGIT, DIGIT)) == ()


def test_channels_may_have_constants_of_their_own():
    image = torch.cat([rows_of(EMPTY, EMPTY, EMPTY), rows_of(WHITE, EMPTY, WHITE)])
    assert groups_of(image) == ((0, 2),)


def test_a_border_cell_is_constant_with_its_padding():
    image = torch.zeros(1, 2, 5)
    grid = PatchGrid((2, 5), (2, 2))
    assert constant_cells(TensorTiles(image), grid) == ((0, 1, 2),)
    assert constant_cells(TensorTiles(image, padding=1), grid) == ((0, 1),)


def test_only_candidates_are_read():
    assert groups_of(rows_of(EMPTY, EMPTY, EMPTY, DIGIT), candidates=[2, 0]) == ((0, 2),)


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunks_do_not_matter(chunk_size):
    assert groups_of(rows_of(EMPTY, WHITE, EMPTY, WHITE, EMPTY), chunk_size=chunk_size) == ((0, 2, 4), (1, 3))


# one latent for a group


def test_a_group_is_encoded_once():
    assert share_cells([5, 0, 3, 2, 1], groups=[(0, 1, 2), (5, 7)]) == ([5, 0, 3], [0, 1, 2, 1, 1])


def test_without_groups_all_are_encoded():
    assert share_cells([2, 0], groups=[]) == ([2, 0], [0, 1])


def test_latents_and_gradients_are_exact():
    torch.manual_seed(0)
    slide, grid = PhantomSlide((96, 160)), PatchGrid((96, 160), (8, 8))
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    encoder = encoder.double()

    def patches(cells):
        return slide.read([grid.slices(cell) for cell in cells]).double() / 255

    cells = list(range(grid.num_cells))
    encoded, rows = share_cells(cells, constant_cells(slide, grid))
    assert len(encoded) < 0.8 * len(cells)
    weights = torch.randn(len(cells), 5, dtype=torch.float64)
    results = []
    for latents in (encoder(patches(cells)), encoder(patches(encoded))[rows]):
        gradients = torch.autograd.grad((latents * weights).sum(), list(encoder.parameters()))
        results.append([latents, *gradients])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


# a coarse look


def test_bright_glass_is_background():
    thumbnail = TensorTiles(torch.tensor([[[250, 100], [250, 250]]]))
    assert background_cells(thumbnail, PatchGrid((200, 200), (100, 100)), threshold=200) == (0, 2, 3)


def test_dark_air_is_background():
    thumbnail = TensorTiles(torch.tensor([[[0, 100], [0, 0]]]))
    cells = background_cells(thumbnail, PatchGrid((200, 200), (100, 100)), threshold=50, background="dark")
    assert cells == (0, 2, 3)


def test_a_pixel_partly_under_a_cell_counts():
    thumbnail = TensorTiles(torch.tensor([[250, 100, 250]]))
    assert background_cells(thumbnail, PatchGrid((300,), (150,)), threshold=200) == ()
    assert background_cells(thumbnail, PatchGrid((300,), (100,)), threshold=200) == (0, 2)


def test_some_foreground_may_be_allowed():
    thumbnail = TensorTiles(torch.tensor([[100, 250, 250, 250]]))
    grid = PatchGrid((400,), (400,))
    assert background_cells(thumbnail, grid, threshold=200, max_foreground=0.25) == (0,)
    assert background_cells(thumbnail, grid, threshold=200, max_foreground=0.24) == ()


def test_channels_are_averaged():
    thumbnail = TensorTiles(torch.tensor([[255], [100], [255]]))
    assert background_cells(thumbnail, PatchGrid((10,), (10,)), threshold=200) == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_foreground": 1.5}, "max_foreground is a share from 0 to 1, got 1.5"),
        ({"background": "white"}, "background must be 'bright' or 'dark', got 'white'"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        background_cells(TensorTiles(torch.zeros(1, 4)), PatchGrid((8,), (4,)), threshold=1, **options)


def test_a_coarse_image_of_other_axes():
    with pytest.raises(ValueError, match="the coarse image must have 2 spatial axes, got 1"):
        background_cells(TensorTiles(torch.zeros(1, 4)), PatchGrid((8, 8), (4, 4)), threshold=1)
