"""DeepSupervision adds coarser logits in training and leaves the network inside as it was."""

import copy
import pickle

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


def test_weights_have_the_plain_network_s_names_and_the_heads_behind_them():
    names = list(DeepSupervision(unet(), num_heads=1).state_dict())
    plain = list(unet().state_dict())
    assert names == [*plain, "heads.0.conv.conv.weight", "heads.0.conv.conv.bias"]


def test_weights_come_back():
    source, target = DeepSupervision(unet(), num_heads=1), DeepSupervision(unet(), num_heads=1)
    torch.nn.init.constant_(source.network.bottleneck.conv1.conv.weight, 0.5)
    torch.nn.init.constant_(source.heads[0].conv.conv.bias, 0.25)
    weights = source.state_dict()
    target.load_state_dict(weights)
    assert torch.equal(target.network.bottleneck.conv1.conv.weight, source.network.bottleneck.conv1.conv.weight)
    assert target.heads[0].conv.conv.bias.tolist() == [0.25] * 3
    assert list(weights) == list(source.state_dict())


def test_weights_of_the_plain_network_leave_the_heads():
    plain, network = unet(), DeepSupervision(unet(), num_heads=1)
    torch.nn.init.constant_(plain.bottleneck.conv1.conv.weight, 0.5)
    outcome = network.load_state_dict(plain.state_dict(), strict=False)
    assert outcome.missing_keys == ["heads.0.conv.conv.weight", "heads.0.conv.conv.bias"]
    assert outcome.unexpected_keys == []
    assert network.network.bottleneck.conv1.conv.weight.unique().tolist() == [0.5]
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict(plain.state_dict())


def test_the_plain_network_takes_the_weights():
    outcome = unet().load_state_dict(DeepSupervision(unet(), num_heads=1).state_dict(), strict=False)
    assert outcome.missing_keys == []
    assert outcome.unexpected_keys == ["heads.0.conv.conv.weight", "heads.0.conv.conv.bias"]


def test_monai_exchanges_all_weights_but_the_heads():
    from monai.networks import copy_model_state

    _, updated, unchanged = copy_model_state(unet(), DeepSupervision(unet(), num_heads=1))
    assert len(updated) == len(unet().state_dict())
    assert unchanged == []
    _, updated, unchanged = copy_model_state(DeepSupervision(unet(), num_heads=1), unet())
    assert unchanged == ["heads.0.conv.conv.bias", "heads.0.conv.conv.weight"]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_keeps_the_names(again):
    network = DeepSupervision(unet(), num_heads=1)
    copied = again(network)
    assert list(copied.state_dict()) == list(network.state_dict())
    copied.load_state_dict(network.state_dict())


def test_names_within_a_wrapper():
    wrapped = torch.nn.ModuleDict({"before": torch.nn.Linear(1, 1), "module": DeepSupervision(unet(), num_heads=1)})
    names = list(wrapped.state_dict())
    assert names[:3] == ["before.weight", "before.bias", "module.input_block.conv1.conv.weight"]
    assert names[-1] == "module.heads.0.conv.conv.bias"
    wrapped.load_state_dict(wrapped.state_dict())


def test_gradients_under_distributed_data_parallel(tmp_path):
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        network = torch.nn.parallel.DistributedDataParallel(DeepSupervision(unet(), num_heads=1))
        sum(logits.mean() for logits in network(torch.rand(1, 1, 16, 16, 8))).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        assert next(iter(network.state_dict())) == "module.input_block.conv1.conv.weight"
    finally:
        distributed.destroy_process_group()
