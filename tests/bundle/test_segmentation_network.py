"""A segmentation bundle's training starts from nnU-Net's first weights, or from a file's."""

from types import SimpleNamespace

import pytest
import torch
from nnunet_networks import STRIDES, dyn_unet, mirrored_sizes, nnunet_unet

from monai_patchgrow.bundle.segmentation import starting_network


def start(network, pretrained=None):
    settings = SimpleNamespace(num_heads=0, patch_size=(16, 16, 8), pretrained=pretrained)
    return starting_network(network, settings=settings)


@pytest.fixture
def patch():
    return torch.randn(1, 1, 16, 16, 8, generator=torch.Generator().manual_seed(4))


def test_from_weights_of_its_own(tmp_path, patch):
    saved = dyn_unet()
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    other = dyn_unet().apply(saved.initialize_weights)
    assert torch.equal(start(other, str(tmp_path / "model.pt")).eval()(patch), saved(patch))


def test_from_a_checkpoint_of_nnunet(tmp_path, patch):
    pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")
    theirs = nnunet_unet("ResidualEncoderUNet", strides=mirrored_sizes(STRIDES))
    torch.save({"network_weights": theirs.state_dict(), "trainer_name": "nnUNetTrainer"}, tmp_path / "final.pth")
    ours = start(nnunet_unet("ResidualEncoderUNet"), str(tmp_path / "final.pth")).eval()
    with torch.no_grad():
        expected = theirs(patch.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
        assert torch.allclose(ours(patch), expected, atol=1e-5, rtol=0)


def test_nnunets_networks_without_a_file_start_as_its_trainer_has_them():
    pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")
    network = nnunet_unet("ResidualEncoderUNet")
    start(network)
    assert not network.encoder.stages[1].blocks[0].conv2.norm.weight.any()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"network_weights": {"a.weight": torch.ones(1)}}, "final.pth is of another network: it has no"),
        ({"a.weight": torch.ones(1)}, "none of its 1 weights fits DynUNet"),
        ({"network_weights": {}}, "final.pth is of another network: it has no"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, content, line):
    torch.save(content, tmp_path / "final.pth")
    with pytest.raises(ValueError, match=rf"^pretrained: .*{line}"):
        start(dyn_unet(), str(tmp_path / "final.pth"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"pretrained: no file of weights at .*final\.pth"):
        start(dyn_unet(), str(tmp_path / "final.pth"))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    weights = dyn_unet().state_dict()
    weights["bottleneck.conv1.conv.weight"].fill_(float("nan"))
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"pretrained: 6912 weights in .* are NaN or infinite"):
        start(dyn_unet(), str(tmp_path / "model.pt"))
