"""patch_rule: the total stride and the first patch of each network, tried on the networks themselves."""

import pytest
import torch
from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from monai_patchgrow.networks import DeepSupervision, PatchRule, allow_single_voxel, patch_rule


def dynunet():
    strides = [[1, 1, 1], [2, 2, 1], [2, 2, 2]]
    return DynUNet(3, 1, 2, [[3] * 3] * 3, strides, strides[1:], filters=[4, 4, 4])


NETWORKS = {
    "DynUNet": (dynunet, (4, 4, 2)),
    "DynUNet, deep supervision": (lambda: DeepSupervision(dynunet()), (4, 4, 2)),
    "UNet": (lambda: UNet(2, 1, 2, channels=[4, 4, 4], strides=[2, 4]), (8, 8)),
    "UNet, strides per axis": (lambda: UNet(2, 1, 2, channels=[4, 4, 4], strides=[(2, 1), (2, 2)]), (4, 2)),
    "BasicUNet": (lambda: BasicUNet(2, features=[4] * 6), (16, 16)),
    "SegResNet": (lambda: SegResNet(3, init_filters=8, blocks_down=[1, 1, 1], blocks_up=[1, 1]), (4, 4, 4)),
    "SegResNet, 2-D": (lambda: SegResNet(2), (8, 8)),
    "SwinUNETR": (lambda: SwinUNETR(1, 2, feature_size=12), (32, 32, 32)),
    "SwinUNETR, 2-D": (lambda: SwinUNETR(1, 2, feature_size=12, spatial_dims=2), (32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_on_one_total_stride_and_on_two_along_an_axis(name):
    make, total_stride = NETWORKS[name]
    network = allow_single_voxel(make())
    assert patch_rule(network) == PatchRule(total_stride)
    for size in (total_stride, (2 * total_stride[0], *total_stride[1:])):
        output = network(torch.rand(1, 1, *size))
        logits = output[0] if isinstance(output, list) else output
        assert logits.shape == (1, 2, *size)


def unetr(axes):
    return UNETR(1, 2, (48, 32, 64)[:axes], 2, hidden_size=12, mlp_dim=8, num_heads=2, spatial_dims=axes)


@pytest.mark.parametrize(("axes", "full"), [(2, (48, 32)), (3, (48, 32, 64))])
def test_a_unetr_is_made_for_one_full_patch(axes, full):
    assert patch_rule(unetr(axes)) == PatchRule((16,) * axes, full_patch=full)


def test_batch_norm_starts_on_two_values_per_channel():
    network = AttentionUnet(2, 1, 2, channels=[4, 4, 4], strides=[2, 2])
    assert patch_rule(network) == PatchRule((4, 4), smallest_patch=(8, 4))
    assert network(torch.rand(1, 1, 8, 4)).shape == (1, 2, 8, 4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.rand(1, 1, 4, 4))


def test_another_network_has_the_default():
    assert patch_rule(nn.Conv2d(1, 1, 3), default=[8, 4]) == PatchRule((8, 4))


def test_another_network_without_default_is_refused():
    with pytest.raises(ValueError, match=r"no patch sizes are known of Conv2d, only of DynUNet, .*as default$"):
        patch_rule(nn.Conv2d(1, 1, 3))
