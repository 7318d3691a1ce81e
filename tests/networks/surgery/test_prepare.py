"""training_network: a network ready for small patches, a DynUNet also for deep supervision."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceLoss
from monai.networks.nets import UNETR, DynUNet, SegResNet

from monai_patchgrow.networks import DeepSupervision, training_network


def unet(**options):
    strides = [[1, 1], [2, 2], [2, 2], [2, 2]]
    return DynUNet(2, 1, 2, [[3, 3]] * 4, strides, strides[1:], filters=[4] * 4, **options)


def test_a_dynunet_gets_its_heads():
    logits = training_network(unet(), num_heads=1)(torch.rand(1, 1, 8, 8))
    assert [tuple(level.shape) for level in logits] == [(1, 2, 8, 8), (1, 2, 4, 4)]


def test_without_heads_a_dynunet_stays_itself():
    network = unet()
    assert training_network(network, num_heads=0) is network
    assert network(torch.rand(1, 1, 8, 8)).shape == (1, 2, 8, 8)


def test_other_networks_are_trained_on_their_one_output():
    network = SegResNet(2)
    assert training_network(network, num_heads=2) is network


def test_the_loss_of_one_output_is_not_weighted():
    logits, target = torch.rand(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    loss = DiceLoss(to_onehot_y=True)
    assert DeepSupervisionLoss(loss, weights=[0.7, 0.3])(logits, target) == loss(logits, target)


def test_a_unetr_takes_smaller_patches():
    network = UNETR(1, 2, (32, 32), 2, hidden_size=12, mlp_dim=8, num_heads=2, spatial_dims=2)
    assert training_network(network, num_heads=1)(torch.rand(1, 1, 16, 32)).shape == (1, 2, 16, 32)


@pytest.mark.parametrize("num_heads", [-1, 3])
def test_heads_that_do_not_fit_are_refused(num_heads):
    with pytest.raises(ValueError, match="between 0 and 2"):
        training_network(unet(), num_heads=num_heads)


def test_names_of_the_weights_stay():
    network = training_network(unet(), num_heads=2)
    assert isinstance(network, DeepSupervision)
    assert [name for name in network.state_dict() if not name.startswith("heads.")] == list(unet().state_dict())
