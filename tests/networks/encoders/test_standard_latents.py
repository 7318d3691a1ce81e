"""An encoder's last layer is scaled to some patches, and nothing else of it changes."""

import pytest
import torch
from torch import nn

from monai_patchgrow.networks import backbone
from monai_patchgrow.networks.encoders.standard_latents import standardise_latents


@pytest.mark.parametrize("name", ["plain_cnn", "small_cnn", "vit", "resnet18"])
def test_every_feature_of_the_patches_has_mean_0_and_deviation_1(name):
    torch.manual_seed(0)
    encoder = backbone(name, in_channels=3, latent_dim=5, patch_size=(32, 32), mean=0.5, std=0.1)
    patches = 0.7 + 0.1 * torch.rand(12, 3, 32, 32)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.random.get_rng_state()
    standardise_latents(encoder, patches)
    assert torch.equal(torch.random.get_rng_state(), state)
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.rsplit(".", 1)[1] for key in changed} == {"weight", "bias"} and len(changed) == 2
    latents = encoder(patches)
    torch.testing.assert_close(latents.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(0), torch.ones(5), atol=1e-4, rtol=0)


def test_patches_are_encoded_a_few_at_a_time():
    torch.manual_seed(0)
    sizes = []
    encoder = backbone("plain_cnn", in_channels=1, latent_dim=5)
    encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    standardise_latents(encoder, torch.rand(7, 1, 16, 16), chunk_size=3)
    assert sizes == [3, 3, 1]
    assert not encoder.output._forward_hooks


def test_a_feature_that_is_the_same_everywhere_becomes_0():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        encoder[1].weight[0] = 0
    patches = torch.rand(9, 1, 2, 2)
    standardise_latents(encoder, patches)
    latents = encoder(patches)
    assert (latents[:, 0] == 0).all()
    assert abs(latents[:, 1].std() - 1) < 1e-4


@pytest.mark.parametrize(
    ("encoder", "patches", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh()), torch.rand(3, 1, 2, 2), "ends on a linear layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)), torch.rand(3, 1, 2, 2), "with a bias, got Seq"),
        (nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten()), torch.rand(3, 1, 2, 2), "ends on a linear layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.rand(1, 1, 2, 2), "two patches or more .*, got 1$"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.full((2, 1, 2, 2), torch.inf), "not finite$"),
    ],
    ids=["tanh", "no bias", "convolution", "one patch", "infinite"],
)
def test_what_cannot_be_standardised_is_left_as_it_was(encoder, patches, message):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=rf"^standardise_latents.*{message}"):
        standardise_latents(encoder, patches)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
