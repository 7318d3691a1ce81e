"""keep_window_offsets: a bias stays with its offset in small patches, and the full patch is as it was."""

import copy
import pickle

import pytest
import torch
from monai.networks.nets import SegResNet, SwinUNETR
from monai.networks.nets.swin_unetr import WindowAttention
from torch import nn

from monai_patchgrow.networks import allow_single_voxel, keep_window_offsets


def swin(axes=2, **options):
    torch.manual_seed(0)
    network = SwinUNETR(1, 2, feature_size=12, spatial_dims=axes, **options)
    for name, parameter in network.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.normal_(parameter)
    return allow_single_voxel(network)


def first_index_of_the_last_level(network, size):
    attentions = [module for module in network.modules() if isinstance(module, WindowAttention)]
    network(torch.rand(1, 1, *size))
    return attentions[-1].relative_position_index.tolist()


def test_a_small_window_is_a_corner_of_the_full_one():
    # The offset (a, b) has entry 13 * (a + 6) + b + 6 in the table of a window of 7x7.
    network = keep_window_offsets(swin(), patch_size=(128, 128))
    assert first_index_of_the_last_level(network, (32, 32)) == [
        [84, 83, 71, 70],
        [85, 84, 72, 71],
        [97, 96, 84, 83],
        [98, 97, 85, 84],
    ]


def test_where_the_full_patch_has_a_small_window_it_is_a_corner_of_that():
    # At 96 the last level has a map of 6x6: MONAI numbers it as the first 36 positions of the window of 7x7.
    network = keep_window_offsets(swin(), patch_size=(96, 96))
    stock = swin().swinViT.layers4[0].blocks[0].attn.relative_position_index
    corner = torch.tensor([0, 1, 6, 7])
    assert first_index_of_the_last_level(network, (32, 32)) == stock[corner][:, corner].tolist()


@pytest.mark.parametrize("full", [(64, 96), (256, 128)])
def test_the_full_patch_gives_the_same_bits_also_after_a_smaller_one(full):
    network, patch = keep_window_offsets(swin(), patch_size=full), torch.rand(1, 1, *full)
    network(torch.rand(1, 1, 32, 32))
    assert torch.equal(network(patch), swin()(patch))


def test_three_axes():
    network, patch = keep_window_offsets(swin(3), patch_size=(32, 32, 64)), torch.rand(1, 1, 32, 32, 64)
    assert torch.equal(network(patch), swin(3)(patch))
    small = torch.rand(1, 1, 32, 32, 32)
    assert not torch.allclose(network(small), swin(3)(small))


def test_a_larger_patch_than_the_full_one_gives_the_plain_output():
    patch = torch.rand(1, 1, 96, 96)
    assert torch.equal(keep_window_offsets(swin(), patch_size=(32, 64))(patch), swin()(patch))


def test_names_of_the_weights_stay():
    weights = keep_window_offsets(swin(), patch_size=(64, 64)).state_dict()
    assert list(weights) == list(swin().state_dict())
    swin().load_state_dict(weights)


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for use_checkpoint in (False, True):
        network = keep_window_offsets(swin(use_checkpoint=use_checkpoint), patch_size=(64, 64))
        network(torch.ones(1, 1, 32, 32)).square().mean().backward()
        gradients.append(network.swinViT.layers3[0].blocks[1].attn.relative_position_bias_table.grad)
    assert torch.equal(*gradients)


def test_network_can_be_pickled_and_copied():
    network, patch = keep_window_offsets(swin(), patch_size=(64, 64)).eval(), torch.rand(1, 1, 32, 64)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(patch), network(patch))


def test_other_networks_stay_as_they_are():
    assert type(keep_window_offsets(SegResNet(2), patch_size=(64, 64))) is SegResNet
    keep_window_offsets(swin(), patch_size=(64, 64))
    assert type(swin()) is SwinUNETR
