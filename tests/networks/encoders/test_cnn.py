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


def test_overlapping_patches_add_up_to_one_convolution_over_the_image():
    torch.manual_seed(0)
    layers = {"channels": (4, 8), "kernel_sizes": (4, 3), "strides": (2, 2), "padded": False, "gated": True}
    encoder = PlainCNN(1, 6, **layers).double()
    image = torch.rand(1, 1, 36, 36).double()
    whole = encoder.features(image)
    positions = (whole * encoder.gate(whole)).sum((2, 3))
    patches = image.unfold(2, 20, 16).unfold(3, 20, 16).flatten(0, 3)[:, None]  # 16 new voxels and the overlap
    features = encoder.features(patches)
    by_patch = (features * encoder.gate(features)).sum((2, 3))
    assert encoder.overlap == 4
    assert len(patches) == 4
    assert torch.allclose(by_patch.sum(0), positions[0], rtol=0, atol=1e-12)


def test_layers_must_be_as_many_as_channels():
    with pytest.raises(ValueError, match=r"must have 2 numbers, as channels has, got \[5, 3, 3\] and \[2, 2\]"):
        PlainCNN(1, 8, channels=(4, 8), kernel_sizes=(5, 3, 3))
