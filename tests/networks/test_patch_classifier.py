"""The whole network gives what PatchGD's engines give, also as TorchScript."""

import pytest
import torch

from monai_patchgrow.networks import PatchClassifier, backbone, classification_head
from monai_patchgrow.schedules import PatchGrid


def network_of(name="small_cnn", head="mean", patch=(16, 16), stride=None, **options):
    encoder = backbone(name, in_channels=1, latent_dim=8, spatial_dims=len(patch))
    top = classification_head(head, latent_dim=8, num_outputs=3, spatial_dims=len(patch), **options)
    return PatchClassifier(encoder, top, patch, stride).eval()


@pytest.mark.parametrize(
    ("image_size", "patch", "stride"),
    [((5,), (3,), None), ((7, 10), (4, 3), (2, 3)), ((2, 2), (4, 3), None), ((5, 4, 6), (3, 2, 4), (3, 2, 1))],
)
def test_patches_are_those_of_the_grid(image_size, patch, stride):
    image = torch.arange(2 * torch.Size(image_size).numel(), dtype=torch.float32).reshape(1, 2, *image_size)
    patches, cells = PatchClassifier(torch.nn.Identity(), torch.nn.Identity(), patch, stride).cut(image)
    grid = PatchGrid(image_size, patch, stride)
    assert tuple(cells) == grid.shape
    for cell in range(grid.num_cells):
        covered = image[0][(slice(None), *grid.covers(cell))]
        inside = patches[cell][(slice(None), *map(slice, covered.shape[1:]))]
        assert torch.equal(inside, covered)
        assert patches[cell].sum() == covered.sum()  # the rest is padding, 0


def test_images_of_a_batch_stay_apart():
    network, images = network_of(), torch.rand(3, 1, 40, 20)
    torch.testing.assert_close(network(images), torch.cat([network(image[None]) for image in images]))


def test_padding_has_its_value():
    network = PatchClassifier(torch.nn.Identity(), torch.nn.Identity(), (2,), padding=0.5)
    assert network.cut(torch.zeros(1, 1, 3))[0].tolist() == [[[0.0, 0.0]], [[0.0, 0.5]]]


def test_chunks_in_evaluation_change_nothing():
    network, image = network_of(), torch.rand(1, 1, 50, 50)
    whole = network(image)
    network.chunk_size = 3
    torch.testing.assert_close(network(image), whole)


@pytest.mark.parametrize(
    ("name", "head", "options"),
    [
        ("small_cnn", "attention", {}),
        ("small_cnn", "conv", {"grid_shape": (2, 2), "channels": 8}),
        ("resnet18", "conv_pooled", {"channels": 8}),
        ("vit", "mean", {}),
    ],
)
def test_torchscript_gives_the_same(name, head, options):
    network = network_of(name, head, (32, 32), **options)
    scripted, image = torch.jit.script(network), torch.rand(2, 1, 64, 50)
    torch.testing.assert_close(scripted(image), network(image))
    assert scripted.state_dict().keys() == network.state_dict().keys()


def test_torchscript_of_a_pooling_head_takes_other_sizes():
    network = network_of("small_cnn", "attention")
    image = torch.rand(1, 1, 70, 20)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))
