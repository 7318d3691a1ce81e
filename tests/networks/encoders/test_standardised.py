"""Patches are standardised before an encoder, with numbers that belong to its weights."""

import pytest
import torch
from torch import nn

from monai_patchgrow.networks import backbone
from monai_patchgrow.networks.encoders.standardised import StandardisedEncoder


def test_each_channel_has_its_own_mean_and_deviation():
    encoder = StandardisedEncoder(nn.Flatten(), 2, mean=[1.0, 2.0], std=[0.5, 4.0])
    patches = torch.rand(3, 2, 4, 5)
    expected = (patches - torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)) / torch.tensor([0.5, 4.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(encoder(patches), expected.flatten(1))


def test_a_backbone_takes_them_as_options():
    torch.manual_seed(0)
    plain = backbone("plain_cnn", in_channels=1, latent_dim=8)
    torch.manual_seed(0)
    encoder = backbone("plain_cnn", in_channels=1, latent_dim=8, mean=0.5, std=0.1)
    patches = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(encoder(patches), plain((patches - 0.5) / 0.1), rtol=1e-4, atol=1e-5)


def test_weights_carry_them():
    trained = backbone("plain_cnn", in_channels=1, latent_dim=8, mean=0.5, std=0.1)
    other = backbone("plain_cnn", in_channels=1, latent_dim=8, mean=0.2)
    other.load_state_dict(trained.state_dict())
    patches = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(other(patches), trained(patches))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"mean": [0.1, 0.2]}, "mean must be a number, or 3, one per channel"),
        ({"mean": float("nan")}, "mean must be a number, or 3"),
        ({"std": 0.0}, "std must be above 0, got 0.0"),
        ({"std": "wide"}, "std must be a number, or 3"),
    ],
)
def test_numbers_that_cannot_be(numbers, message):
    with pytest.raises(ValueError, match=message):
        backbone("plain_cnn", in_channels=3, latent_dim=8, **numbers)
