"""The encoder without norms: empty patches give its bias alone, and its stride is 16."""

import pytest
import torch

from monai_patchgrow.networks import PlainCNN


@pytest.mark.parametrize("patch", [(16,), (32, 48), (16, 16, 32)])
def test_axes(patch):
    assert PlainCNN(2, 8, spatial_dims=len(patch))(torch.rand(3, 2, *patch)).shape == (3, 8)


def test_an_empty_patch_gives_the_bias():
    encoder = PlainCNN(1, 8)
    assert torch.equal(encoder(torch.zeros(1, 1, 32, 32))[0], encoder.output.bias)


def test_one_voxel_is_left_of_the_smallest_patch():
    assert PlainCNN(1, 8).features(torch.rand(1, 1, 16, 32)).shape[2:] == (1, 2)
