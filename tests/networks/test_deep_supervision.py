"""DeepSupervision adds coarser logits in training and leaves the network inside as it was."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet

from monai_patchgrow.networks import DeepSupervision


def unet(**options):
    torch.manual_seed(0)
    strides = [[1, 1, 1], [2, 2, 2], [2, 2, 1], [2, 2, 2]]
    return DynUNet(3, 1, 3, [[3] * 3] * 4, strides, strides[1:], filters=[4, 8, 8, 8], **options)


def test_logits_of_each_level_finest_first():
    network = DeepSupervision(unet(), num_heads=2)
    shapes = [tuple(logits.shape) for logits in network(torch.rand(2, 1, 16, 16, 8))]
    assert shapes == [(2, 3, 16, 16, 8), (2, 3, 8, 8, 4), (2, 3, 4, 4, 4)]


def test_evaluation_gives_the_plain_network_s_output():
    plain, patch = unet().eval(), torch.rand(1, 1, 16, 16, 8)
    network = DeepSupervision(unet(), num_heads=1).eval()
    assert torch.equal(network(patch), plain(patch))
    assert list(network.network.state_dict()) == list(plain.state_dict())


def test_every_head_gets_a_gradient():
    network = DeepSupervision(unet(), num_heads=2)
    sum(logits.square().mean() for logits in network(torch.rand(1, 1, 16, 16, 8))).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.heads.parameters())


def test_a_copy_is_independent():
    network = DeepSupervision(unet(), num_heads=1)
    again = copy.deepcopy(network)
    assert [tuple(logits.shape) for logits in again(torch.rand(1, 1, 16, 16, 8))][1] == (1, 3, 8, 8, 4)
    assert not network._features


def test_refusals():
    with pytest.raises(ValueError, match="deep_supervision=False"):
        DeepSupervision(unet(deep_supervision=True))
    with pytest.raises(ValueError, match="between 0 and 2"):
        DeepSupervision(unet(), num_heads=3)
