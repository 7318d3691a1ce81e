"""allow_smaller_patches: a UNETR takes every multiple of 16 up to its full patch, where it stays the same."""

import copy
import pickle

import pytest
import torch
from monai.networks.nets import UNETR, SegResNet

from monai_patchgrow.networks import allow_smaller_patches
from monai_patchgrow.networks.surgery.position_embedding import _interpolate


def unetr(axes=3, **options):
    torch.manual_seed(0)
    size = (32, 48, 64)[:axes]
    return UNETR(1, 2, size, 2, hidden_size=12, mlp_dim=8, num_heads=2, spatial_dims=axes, **options)


@pytest.mark.parametrize("size", [(16, 16, 16), (32, 16, 16), (16, 32, 48), (32, 48, 16), (32, 48, 64)])
def test_output_has_the_size_of_the_patch(size):
    assert allow_smaller_patches(unetr())(torch.rand(2, 1, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
def test_two_axes(proj_type):
    network = allow_smaller_patches(unetr(2, proj_type=proj_type))
    assert network(torch.rand(1, 1, 32, 16)).shape == (1, 2, 32, 16)


def test_the_plain_network_refuses_smaller_patches():
    with pytest.raises(RuntimeError, match="must match"):
        unetr()(torch.rand(1, 1, 16, 16, 16))


def test_the_full_patch_gives_the_same_bits_also_after_a_smaller_one():
    plain, patch = unetr(), torch.rand(1, 1, 32, 48, 64)
    network = allow_smaller_patches(unetr())
    network(torch.rand(1, 1, 16, 32, 16))
    assert torch.equal(network(patch), plain(patch))


def test_the_plain_network_loads_the_weights():
    weights = allow_smaller_patches(unetr()).state_dict()
    assert list(weights) == list(unetr().state_dict())
    unetr().load_state_dict(weights)


def test_the_embedding_is_interpolated_along_each_axis():
    embedding = torch.arange(4.0).reshape(1, 4, 1)  # a grid of 2x2
    assert _interpolate(embedding, (2, 2), (1, 2)).flatten().tolist() == [1.0, 2.0]
    assert _interpolate(embedding, (2, 2), (2, 1)).flatten().tolist() == [0.5, 2.5]
    assert _interpolate(embedding, (2, 2), (1, 1)).flatten().tolist() == [1.5]


def test_the_embedding_learns_from_a_smaller_patch():
    network = allow_smaller_patches(unetr())
    network(torch.rand(1, 1, 32, 32, 32)).square().mean().backward()
    assert network.vit.patch_embedding.position_embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(16, 24, 16), (48, 48, 64), (0, 16, 16)])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"multiples of \(16, 16, 16\) up to \(32, 48, 64\), got"):
        allow_smaller_patches(unetr())(torch.zeros(1, 1, *size))


def test_network_can_be_pickled_and_copied():
    network, patch = allow_smaller_patches(unetr()).eval(), torch.rand(1, 1, 16, 48, 32)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(patch), network(patch))


def test_other_networks_stay_as_they_are():
    network = SegResNet(2)
    assert type(allow_smaller_patches(network)) is SegResNet
    allow_smaller_patches(unetr())
    assert type(unetr()) is UNETR
