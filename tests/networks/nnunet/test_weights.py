"""nnU-Net's weights in a bundle's networks, and back: the same logits, in mirrored arrays."""

from functools import partial

import pytest
import torch
from nnunet_networks import (
    FEATURES,
    KERNELS,
    PLANAR_KERNELS,
    STRIDES,
    dyn_unet,
    mirrored_sizes,
    nnunet_unet,
    randomised,
)

from monai_patchgrow.networks import DeepSupervision, initialise
from monai_patchgrow.networks.nnunet.weights import load_nnunet_weights, nnunet_weights

pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")

THEIR_STRIDES = mirrored_sizes(STRIDES)


def logits(network, image):
    """Logits (B, K, x, y, z) of an image (B, 1, x, y, z) by a network whose axes are nnU-Net's."""
    with torch.no_grad():
        return network(image.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)


@pytest.fixture
def image():
    return torch.randn(2, 1, 8, 16, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kernels", [KERNELS, PLANAR_KERNELS])
def test_a_residual_encoder_gives_nnunets_logits(image, kernels):
    theirs = nnunet_unet("ResidualEncoderUNet", strides=THEIR_STRIDES, kernels=mirrored_sizes(kernels))
    ours = randomised(nnunet_unet("ResidualEncoderUNet", kernels=kernels))
    load_nnunet_weights(ours, theirs.state_dict())
    with torch.no_grad():
        assert torch.allclose(ours(image), logits(theirs, image), atol=1e-5, rtol=0)


def test_a_plain_network_gives_its_logits_as_a_dyn_unet(image):
    theirs, ours = nnunet_unet("PlainConvUNet", strides=THEIR_STRIDES), dyn_unet()
    load_nnunet_weights(ours, theirs.state_dict())
    with torch.no_grad():
        assert torch.allclose(ours(image), logits(theirs, image), atol=1e-5, rtol=0)


def test_slices(image):
    theirs = nnunet_unet("PlainConvUNet", strides=[[1, 1], [2, 2], [1, 2]], kernels=[[3, 3]] * 3)
    ours = dyn_unet(strides=[[1, 1], [2, 2], [2, 1]], kernels=[[3, 3]] * 3)
    load_nnunet_weights(ours, theirs.state_dict())
    slices = image[..., 0]
    with torch.no_grad():
        assert torch.allclose(ours(slices), theirs(slices.mT).mT, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["ResidualEncoderUNet", "PlainConvUNet"])
def test_weights_go_back_as_they_came(name):
    theirs = nnunet_unet(name, strides=THEIR_STRIDES)
    before = {key: weight.clone() for key, weight in theirs.state_dict().items()}
    ours = randomised(nnunet_unet(name))
    load_nnunet_weights(ours, before)
    again = nnunet_weights(ours)
    assert list(again) == list(before)
    assert all(torch.equal(again[key], before[key]) for key in before)


@pytest.mark.parametrize("trans_bias", [True, False])
def test_a_dyn_unet_gives_its_logits_as_a_plain_network(image, trans_bias):
    ours, theirs = dyn_unet(trans_bias=trans_bias), nnunet_unet("PlainConvUNet", strides=THEIR_STRIDES)
    weights = nnunet_weights(ours, nnunet_unet("PlainConvUNet", strides=THEIR_STRIDES))
    theirs.load_state_dict(weights)
    with torch.no_grad():
        assert torch.allclose(ours(image), logits(theirs, image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [partial(nnunet_unet, "ResidualEncoderUNet", blocks=(1, 2, 2, 2)), dyn_unet])
def test_heads_of_deep_supervision_get_theirs(make, image):
    name = "PlainConvUNet" if make is dyn_unet else "ResidualEncoderUNet"
    figures = {"kernels": [*KERNELS, [3] * 3], "features": [*FEATURES, 16]}
    theirs = nnunet_unet(name, strides=[*THEIR_STRIDES, [1, 2, 2]], blocks=(1, 2, 2, 2), **figures)
    theirs.decoder.deep_supervision = True
    ours = DeepSupervision(make(strides=[*STRIDES, [2, 2, 1]], **figures), num_heads=1)
    load_nnunet_weights(ours, theirs.state_dict())
    with torch.no_grad():
        finest, coarser = ours.train()(image)
        expected = [one.permute(0, 1, 4, 3, 2) for one in theirs(image.permute(0, 1, 4, 3, 2))[:2]]
    assert torch.allclose(finest, expected[0], atol=1e-5, rtol=0)
    assert torch.allclose(coarser, expected[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("ours", "line"),
    [
        (lambda: dyn_unet(), "is of another network: it has no encoder.stages.0.0.convs.0.conv.weight"),
        (lambda: nnunet_unet("ResidualEncoderUNet", blocks=(1, 2, 3)), "it has no encoder.stages.2.blocks.2.conv1"),
        (
            lambda: nnunet_unet("ResidualEncoderUNet", blocks=(1, 2, 1)),
            "it has encoder.stages.2.blocks.1.conv1.conv, which ResidualEncoderUNet here lacks",
        ),
        (
            lambda: nnunet_unet("ResidualEncoderUNet", kernels=PLANAR_KERNELS),
            r"stem.convs.0.conv.weight is \(4, 1, 3, 3, 3\) in the order \(x, y, z\), here \(4, 1, 3, 3, 1\)",
        ),
        (lambda: torch.nn.Linear(1, 1), "is nnU-Net's, which has no Linear"),
    ],
)
def test_another_network_is_refused_and_left_as_it_was(ours, line):
    network, theirs = ours(), nnunet_unet("ResidualEncoderUNet")
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    with pytest.raises(ValueError, match=line):
        load_nnunet_weights(network, theirs.state_dict())
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_batch_norms_are_not_taken_for_instance_norms():
    weights = {
        **nnunet_unet("PlainConvUNet").state_dict(),
        "encoder.stages.0.0.convs.0.norm.running_mean": torch.ones(4),
    }
    with pytest.raises(ValueError, match="is of a network with batch norms, the one here has instance norms"):
        load_nnunet_weights(dyn_unet(), weights)


def test_biases_that_a_dyn_unet_lacks_are_not_dropped():
    with pytest.raises(ValueError, match='give network_def "trans_bias": true in all configs'):
        load_nnunet_weights(dyn_unet(trans_bias=False), nnunet_unet("PlainConvUNet").state_dict())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kernels": PLANAR_KERNELS}, "its kernels differ between levels .3x3x1, 3x3x3, 3x3x3."),
        ({"res_block": True}, "its blocks are residual"),
        ({"strides": [[1, 1, 1], [3, 2, 2], [2, 2, 2]]}, "it has strides above 2"),
        ({"dropout": 0.5}, "other norms or activations than nnU-Net's, or dropout"),
    ],
)
def test_a_dyn_unet_that_is_another_network_says_why(options, why):
    ours = dyn_unet(**options)
    with pytest.raises(ValueError, match=why):
        load_nnunet_weights(ours, nnunet_unet("PlainConvUNet").state_dict())
    with pytest.raises(ValueError, match=why):
        nnunet_weights(ours, nnunet_unet("PlainConvUNet"))


def test_nnunets_networks_start_from_its_trainers_weights():
    network = nnunet_unet("ResidualEncoderUNet")
    initialise(network)
    assert not any(block.conv2.norm.weight.any() for block in network.encoder.stages[1].blocks)
    assert not network.encoder.stem.convs[0].conv.bias.any()
    assert network.encoder.stages[1].blocks[0].conv1.norm.weight.all()


def test_other_networks_start_from_their_own():
    network = dyn_unet()
    before = network.state_dict()["bottleneck.conv1.conv.weight"].clone()
    initialise(network)
    assert torch.equal(network.state_dict()["bottleneck.conv1.conv.weight"], before)
