"""The training images that an encoder's fresh weights are fitted to."""

from types import SimpleNamespace

import pytest
import torch

from monai_patchgrow.bundle.patchgd.first_latents import standardise_latents
from monai_patchgrow.data import DataError
from monai_patchgrow.networks import backbone


def settings(**changes):
    options = {"patch_size": (16, 16), "stride": None, "border": 0.0, "chunk_size": 4, "standardise_latents": True}
    return SimpleNamespace(**{**options, **changes})


def network():
    torch.manual_seed(0)
    return SimpleNamespace(encoder=backbone("plain_cnn", in_channels=1, latent_dim=4))


def images(count, *, empty=False):
    torch.manual_seed(1)
    pictures = (255 * torch.rand(count, 1, 48, 64)).to(torch.uint8)
    pictures[..., :, :32] = 0
    return [{"image": 0 * picture if empty else picture} for picture in pictures]


def test_latents_of_patches_that_hold_something():
    made, items = network(), images(3)
    standardise_latents(made, (items, []), dict, settings())
    telling = torch.stack([item["image"][:, :16, 32:48] for item in items] * 2) / 255
    latents = made.encoder(
        torch.cat([telling, torch.cat([item["image"][None, :, 16:32, 48:] for item in items]) / 255])
    )
    assert latents.mean(0).abs().max() < 1
    assert 0.3 < latents.std(0).mean() < 3


def test_nothing_is_read_without_the_setting():
    made = network()
    before = made.encoder.output.weight.clone()
    standardise_latents(made, (None, None), None, settings(standardise_latents=False))
    assert torch.equal(made.encoder.output.weight, before)


def test_images_of_one_value():
    with pytest.raises(ValueError, match=r"^standardise_latents: fewer than two patches of the training images"):
        standardise_latents(network(), (images(3, empty=True), []), dict, settings())


def test_an_image_that_cannot_be_read_is_named():
    def broken(item):
        raise EOFError("cut off")

    with pytest.raises(DataError, match=r"^a\.tiff: can't be read \(EOFError: cut off\)$"):
        standardise_latents(network(), ([{"image": "a.tiff"}], []), broken, settings())
