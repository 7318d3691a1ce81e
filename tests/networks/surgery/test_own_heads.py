"""Deep supervision, growth and legal sizes of nnU-Net's own U-Nets, which have heads on every level."""

import copy

import pytest
import torch
from nnunet_networks import nnunet_unet

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.networks import DeepSupervision, check_network, patch_rule, training_network

pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")

STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 1], [2, 2, 2]]


def unet(name="ResidualEncoderUNet", **options):
    return nnunet_unet(name, strides=STRIDES, kernels=[[3, 3, 3]] * 4, features=[4, 8, 8, 8], blocks=(1, 2, 2, 2),
                       **options)  # fmt: skip


@pytest.mark.parametrize("name", ["ResidualEncoderUNet", "PlainConvUNet"])
def test_the_total_stride_is_the_product_of_the_strides(name):
    assert patch_rule(unet(name)).total_stride == (8, 8, 4)
    assert patch_rule(training_network(unet(name), num_heads=1)).total_stride == (8, 8, 4)


def test_logits_of_each_level_are_nnunets_finest_first():
    network, patch = training_network(unet(), num_heads=1).train(), torch.rand(2, 1, 16, 16, 8)
    theirs = unet(deep_supervision=True)
    with torch.no_grad():
        ours, expected = network(patch), theirs(patch)
    assert [tuple(logits.shape) for logits in ours] == [(2, 3, 16, 16, 8), (2, 3, 8, 8, 4)]
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, expected, strict=False))


def test_evaluation_gives_the_plain_network_s_output():
    plain, patch = unet(), torch.rand(1, 1, 16, 16, 8)
    network = DeepSupervision(copy.deepcopy(plain), num_heads=2).eval()
    assert torch.equal(network(patch), plain(patch))


def test_weights_have_the_plain_network_s_names():
    network = DeepSupervision(unet(), num_heads=1)
    assert list(network.state_dict()) == list(unet().state_dict())
    network.load_state_dict(unet().state_dict())
    unet().load_state_dict(network.state_dict())


@pytest.mark.parametrize(("num_heads", "trained"), [(0, [2]), (1, [1, 2]), (2, [0, 1, 2])])
def test_only_heads_that_the_loss_counts_are_trained(num_heads, trained):
    network = training_network(unet(), num_heads=num_heads).train()
    output = network(torch.rand(1, 1, 16, 16, 8))
    sum(logits.square().mean() for logits in output).backward()
    heads = network.network.decoder.seg_layers
    assert [number for number, head in enumerate(heads) if head.weight.requires_grad] == trained
    # Distributed training waits for the gradient of each parameter that takes one.
    assert all(one.grad is not None for one in network.parameters() if one.requires_grad)


def test_the_first_patches_of_every_curriculum_run():
    network = training_network(unet(), num_heads=1)
    for curriculum in ("efficiency", "pgps_plus"):
        schedule = GrowthSchedule.plan(
            patch_size=(16, 16, 8), total_stride=(8, 8, 4), batch_size=2, max_epochs=20, curriculum=curriculum
        )
        check_network(network, schedule, in_channels=1)


def test_a_single_voxel_at_the_bottleneck_has_finite_gradients():
    network = training_network(unet(), num_heads=1).train()
    sum(logits.square().mean() for logits in network(torch.rand(2, 1, 8, 8, 4))).backward()
    assert all(torch.isfinite(one.grad).all() for one in network.parameters() if one.grad is not None)


def test_a_network_with_deep_supervision_of_its_own_is_refused():
    with pytest.raises(ValueError, match="ResidualEncoderUNet made with deep_supervision=False"):
        DeepSupervision(unet(deep_supervision=True))
    with pytest.raises(ValueError, match="between 0 and 2"):
        DeepSupervision(unet(), num_heads=3)


def test_channels_last_gives_the_same_logits():
    network = training_network(unet(), num_heads=1).train()
    patch = torch.rand(1, 1, 16, 16, 8)
    with torch.no_grad():
        plain = network(patch)
        turned = network.to(memory_format=torch.channels_last_3d)(patch)
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(plain, turned, strict=True))
