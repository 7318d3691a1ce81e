"""check_network: refuses in one line what can't be trained, and leaves everything as it was."""

import copy

import pytest
import torch
from monai.networks.nets import UNETR, AttentionUnet, DynUNet, SegResNet
from torch import nn

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.networks import check_network, training_network


def plan(patch_size=(16, 16), total_stride=(4, 4), **options):
    options = {"batch_size": 2, "max_epochs": 50, "curriculum": "efficiency", **options}
    return GrowthSchedule.plan(patch_size=patch_size, total_stride=total_stride, **options)


def unet():
    strides = [[1, 1], [2, 2], [2, 2]]
    return DynUNet(2, 1, 2, [[3, 3]] * 3, strides, strides[1:], filters=[4] * 3)


class Recorder(nn.Module):
    """Keeps the shapes that it was given, draws random numbers, moves its statistics and its mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.shapes = []

    def forward(self, x):
        self.shapes.append((tuple(x.shape), self.training, torch.is_grad_enabled()))
        return self.norm(x + torch.rand(x.shape))


def test_the_first_two_patches_are_tried_in_training_mode():
    network = Recorder()
    check_network(network, plan(), in_channels=1)
    assert network.shapes == [((2, 1, 4, 4), True, False), ((2, 1, 8, 4), True, False)]


def test_a_batch_has_one_or_two():
    network = Recorder()
    check_network(network, plan(batch_size=1), in_channels=1)
    assert [shape[0] for shape, _, _ in network.shapes] == [1, 1]
    network = Recorder()
    check_network(network, plan(curriculum="performance"), in_channels=1)
    assert [shape[0] for shape, _, _ in network.shapes] == [2, 2]


def test_the_full_patch_is_not_tried():
    network = Recorder()
    check_network(network, plan(curriculum="constant"), in_channels=1)
    check_network(network, plan(patch_size=(8, 4)), in_channels=1)
    assert [shape for shape, _, _ in network.shapes] == [(2, 1, 4, 4)]


def test_network_and_random_numbers_are_left_as_they_were():
    network = nn.Sequential(Recorder(), Recorder().eval())
    network.eval()[0].train()
    modes = [module.training for module in network.modules()]
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    check_network(network, plan(), in_channels=1)
    assert len(network[1].shapes) == 2
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("curriculum", ["efficiency", "performance", "pgps", "pgps_plus", "random", "constant"])
def test_a_training_network_passes(curriculum):
    check_network(training_network(unet(), num_heads=1), plan(curriculum=curriculum), in_channels=1)


def test_the_network_s_own_reason_is_told():
    with pytest.raises(ValueError) as refusal:
        check_network(unet(), plan(), in_channels=1)
    assert str(refusal.value) == (
        "DynUNet can't be trained on patches of 4x4: Expected more than 1 spatial element when training, "
        "got input size torch.Size([2, 4, 1, 1])"
    )


def test_an_output_of_another_size_is_told():
    network = nn.Conv2d(1, 1, 3)
    with pytest.raises(ValueError, match=r"^Conv2d can't be trained on patches of 4x4: its output is 2x2$"):
        check_network(network, plan(), in_channels=1)


def test_batch_norm_names_the_patch_that_would_do():
    network = AttentionUnet(2, 1, 2, channels=[4, 4, 4], strides=[2, 2])
    check_network(network, plan(), in_channels=1)  # two patches give two values
    with pytest.raises(ValueError, match=r"patches of 4x4 \(smallest_patch \[8, 4\] would do\): Expected more than 1"):
        check_network(network, plan(batch_size=1), in_channels=1)
    check_network(network, plan(batch_size=1, smallest_patch=(8, 4)), in_channels=1)


def test_a_schedule_that_breaks_the_rule_gets_the_nearest_sizes():
    with pytest.raises(ValueError, match=r"^SegResNet: .* 20 on axis 1 \(stride 8\): nearest are 16 and 24$"):
        check_network(SegResNet(2), plan(patch_size=(16, 20)), in_channels=1)


def test_steps_that_break_the_rule_are_refused_though_the_full_patch_keeps_it():
    with pytest.raises(ValueError, match=r"4 on axis 0 \(stride 8\): nearest is 8; 4 on axis 1"):
        check_network(SegResNet(2), plan(), in_channels=1)


def test_a_unetr_of_another_img_size_is_refused():
    network = UNETR(1, 2, (32, 32), 2, hidden_size=12, mlp_dim=8, num_heads=2, spatial_dims=2)
    message = r"^UNETR: patch_size must be its img_size, \(32, 32\), got \(48, 32\)$"
    with pytest.raises(ValueError, match=message):
        check_network(training_network(network), plan((48, 32), (16, 16)), in_channels=1)
    check_network(training_network(network), plan((32, 32), (16, 16)), in_channels=1)
