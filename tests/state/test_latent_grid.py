"""LatentGrid: latent vectors land in their cells, with their gradients."""

import pytest
import torch

from monai_patchgrow.state.latent_grid import LatentGrid, join_masks

FULL = torch.ones(2, 2, 3, dtype=torch.bool)


def places(*pairs):
    images, cells = zip(*pairs, strict=True)
    return torch.tensor(images), torch.tensor(cells)


def test_a_vector_lands_in_its_cell():
    latent = LatentGrid(FULL, latent_dim=2)
    latent.write(places((1, 5), (0, 1)), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert latent.z.shape == (2, 2, 2, 3)
    assert latent.z[1, :, 1, 2].tolist() == [1.0, 2.0]
    assert latent.z[0, :, 0, 1].tolist() == [3.0, 4.0]
    assert int(latent.z.count_nonzero()) == 4


def test_gradients_reach_what_was_written_until_it_is_detached():
    latent, written = LatentGrid(FULL, latent_dim=1), torch.ones(2, 1, requires_grad=True)
    latent.write(places((0, 0), (1, 3)), written)
    (latent.z * torch.arange(6.0).reshape(2, 3)).sum().backward()
    assert written.grad.tolist() == [[0.0], [3.0]]
    latent.detach()
    assert not latent.z.requires_grad


def test_detached_values_stay_where_they_are():
    latent = LatentGrid(FULL, latent_dim=1)
    before = latent.values.data_ptr()
    latent.write(places((0, 0)), torch.ones(1, 1, requires_grad=True))
    latent.detach()
    assert latent.values.data_ptr() == before
    assert latent.values[0, 0, 0] == 1.0


def test_a_leaf_gets_the_gradient_of_z():
    latent = LatentGrid(FULL, latent_dim=1)
    values = latent.require_gradient()
    latent.z[1, 0, 1, 2].backward()
    assert values.grad.nonzero().tolist() == [[1, 0, 5]]


def test_latents_of_another_type_take_that_of_z():
    latent = LatentGrid(FULL, latent_dim=1)
    latent.write(places((0, 0)), torch.ones(1, 1, dtype=torch.bfloat16))
    assert latent.z.dtype == torch.float32


def test_images_keep_their_cells_in_the_largest_grid():
    mask = join_masks([(1, 3), (2, 1)])
    assert mask.tolist() == [[[True, True, True], [False] * 3], [[True, False, False], [True, False, False]]]


@pytest.mark.parametrize("mask", [torch.ones(2, 3), torch.ones(2, dtype=torch.bool)])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match=r"mask must be a bool tensor \(B, \*grid\)"):
        LatentGrid(mask, latent_dim=1)


def test_whether_a_cell_is_missing_is_known():
    assert LatentGrid(FULL, latent_dim=1).is_whole
    assert not LatentGrid(join_masks([(2, 3), (2, 2)]), latent_dim=1).is_whole


def test_values_and_mask_go_to_the_device():
    latent = LatentGrid(FULL, latent_dim=1, device="meta")
    assert (latent.values.device.type, latent.mask.device.type, latent.is_whole) == ("meta", "meta", True)
