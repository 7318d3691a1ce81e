"""allow_single_voxel changes nothing but torch's refusal of a single voxel."""

import copy
import pickle

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import nn

from monai_patchgrow.networks import allow_single_voxel


def unet():
    torch.manual_seed(0)
    strides = [[1] * 3, [2] * 3, [2] * 3]
    kernels = [[3] * 3] * 3
    return DynUNet(3, 1, 2, kernels, strides, strides[1:], filters=[4, 8, 8], norm_name=("INSTANCE", {"affine": True}))


def test_network_accepts_a_patch_of_its_total_stride():
    patch = torch.rand(2, 1, 4, 4, 4)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        unet()(patch)
    assert allow_single_voxel(unet())(patch).shape == (2, 2, 4, 4, 4)


def test_bits_and_parameter_names_stay():
    plain, swapped = unet(), allow_single_voxel(unet())
    patch = torch.rand(2, 1, 8, 8, 8)
    assert torch.equal(plain(patch), swapped(patch))
    assert list(plain.state_dict()) == list(swapped.state_dict())


def test_a_single_voxel_comes_out_as_the_bias():
    norm = nn.InstanceNorm3d(2, affine=True)
    nn.init.constant_(norm.bias, 0.25)
    assert torch.equal(allow_single_voxel(norm)(torch.rand(3, 2, 1, 1, 1)), torch.full((3, 2, 1, 1, 1), 0.25))


def test_a_batch_and_its_parts_have_the_same_gradients():
    # torch's own norm leaves rounding errors around the kink of the activation behind it: 0.1 of the largest gradient.
    patches = torch.randn(3, 1, 4, 4, 4)
    whole, parts = allow_single_voxel(unet()), allow_single_voxel(unet())
    (whole(patches) ** 2).sum().backward()
    for part in (patches[:2], patches[2:]):
        (parts(part) ** 2).sum().backward()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-4 * float(one.grad.abs().max()))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_dimension(axes):
    norm = allow_single_voxel([nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d][axes - 1](2))
    assert norm(torch.rand(1, 2, *[1] * axes)).abs().max() < 1e-4


def test_other_networks_keep_the_refusal():
    allow_single_voxel(unet())
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        nn.InstanceNorm3d(2)(torch.rand(1, 2, 1, 1, 1))


def test_network_can_be_pickled_and_copied():
    network, patch = allow_single_voxel(unet()), torch.rand(1, 1, 4, 4, 4)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(patch), network(patch))
