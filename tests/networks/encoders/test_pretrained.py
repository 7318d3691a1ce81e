"""Pretrained weights from a file: what is taken over, what is reported, what is refused."""

import logging

import pytest
import safetensors.torch
import torch
from torch import nn

from monai_patchgrow.networks import SmallCNN, backbone, load_pretrained


def encoder(in_channels=3, latent_dim=4, seed=0):
    torch.manual_seed(seed)
    return SmallCNN(in_channels, latent_dim, channels=(8, 8))


def saved(tmp_path, content, name="weights.pt"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def same(network, other, but=()):
    own, theirs = network.state_dict(), other.state_dict()
    return [name for name in own if not torch.equal(own[name], theirs[name])] == list(but)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": {"state_dict": weights}},
        lambda weights: {f"module.{name}": weight for name, weight in weights.items()},
        lambda weights: {f"module.encoder.{name}": weight for name, weight in weights.items()},
    ],
)
def test_weights_come_out_of_what_is_around_them(tmp_path, wrap):
    source, network = encoder(), encoder(seed=1)
    report = load_pretrained(network, saved(tmp_path, wrap(source.state_dict())))
    assert same(network, source)
    assert (len(report.matched), report.missing, report.unexpected, report.mismatched) == (8, (), (), ())


def test_another_head_is_left_where_that_is_allowed(tmp_path):
    source, network = encoder(latent_dim=10), encoder(seed=1)
    before = network.output.bias.clone()
    report = load_pretrained(network, saved(tmp_path, source.state_dict()), skip_mismatched=("output.",))
    assert report.mismatched == ("output.weight", "output.bias")
    assert torch.equal(network.output.bias, before)
    assert torch.equal(network.features[0].conv.weight, source.features[0].conv.weight)


def test_another_shape_is_refused_and_nothing_is_changed(tmp_path):
    path = saved(tmp_path, encoder(latent_dim=10).state_dict())
    for allowed in (False, ("features.",)):
        network = encoder(seed=1)
        with pytest.raises(ValueError, match=r"output.weight is \(10, 8\) in the file and \(4, 8\) in the network"):
            load_pretrained(network, path, skip_mismatched=allowed)
        assert same(network, encoder(seed=1))


def test_what_is_missing_and_unexpected_is_reported(tmp_path, caplog):
    weights = encoder().state_dict()
    weights["extra.weight"] = weights.pop("output.bias")
    with caplog.at_level(logging.INFO):
        report = load_pretrained(encoder(seed=1), saved(tmp_path, weights))
    assert (report.missing, report.unexpected) == (("output.bias",), ("extra.weight",))
    assert str(report) == "7 weights taken over; 1 missing (output.bias); 1 unexpected (extra.weight)"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_counters_that_old_files_lack_raise_no_warning(tmp_path, caplog):
    source, network = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    weights = {name: weight for name, weight in source.state_dict().items() if name != "num_batches_tracked"}
    with caplog.at_level(logging.INFO):
        assert load_pretrained(network, saved(tmp_path, weights)).missing == ("num_batches_tracked",)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_the_first_convolution_answers_a_grey_image_as_before(tmp_path):
    source, network = encoder(in_channels=3).double(), encoder(in_channels=1, seed=1).double()
    report = load_pretrained(network, saved(tmp_path, source.state_dict()))
    grey = torch.rand(2, 1, 16, 16, dtype=torch.double)
    assert report.adapted == ("features.0.conv.weight",)
    assert torch.allclose(network(grey), source(grey.expand(-1, 3, -1, -1)), rtol=0, atol=1e-12)


def test_torchvision_s_names_of_a_resnet():
    names = list(backbone("resnet50", in_channels=3, latent_dim=8).state_dict())
    assert names[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert {"layer1.0.downsample.0.weight", "layer4.2.bn3.running_var", "fc.bias"} <= set(names)
    assert len(names) == 320


def test_a_backbone_leaves_another_classifier_alone(tmp_path):
    source = backbone("small_cnn", in_channels=1, latent_dim=10)
    path = saved(tmp_path, source.state_dict())
    network = backbone("small_cnn", in_channels=1, latent_dim=4, pretrained=path)
    assert torch.equal(network.features[3].conv.weight, source.features[3].conv.weight)
    with pytest.raises(ValueError, match="make the network as the file's was"):
        backbone("small_cnn", in_channels=1, latent_dim=4, channels=(8, 8, 8, 8), pretrained=path)


def test_a_backbone_of_the_extra_takes_the_names_of_its_own_package(tmp_path):
    pytest.importorskip("transformers", reason="the extra is not installed")
    source = backbone("mobilenet_v2", in_channels=1, latent_dim=10, depth_multiplier=0.25)
    path = saved(tmp_path, source.network.state_dict())
    network = backbone("mobilenet_v2", in_channels=1, latent_dim=4, depth_multiplier=0.25, pretrained=path)
    stem = "mobilenet_v2.conv_stem.first_conv.convolution.weight"
    assert torch.equal(network.network.state_dict()[stem], source.network.state_dict()[stem])


def test_a_safetensors_file(tmp_path):
    source, network = encoder(), encoder(seed=1)
    safetensors.torch.save_file(source.state_dict(), tmp_path / "model.safetensors")
    load_pretrained(network, tmp_path / "model.safetensors")
    assert same(network, source)


@pytest.mark.parametrize("part", [slice(-5), slice(20), slice(0)], ids=["cut off", "cut in the header", "empty"])
def test_a_broken_safetensors_file(tmp_path, part):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.torch.save(encoder().state_dict())[part])
    with pytest.raises(ValueError, match=r"model\.safetensors can't be read: it is no \.safetensors file") as refusal:
        load_pretrained(encoder(), path)
    assert "\n" not in str(refusal.value)


class Anything:
    """What a file of weights alone can't hold."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Anything(), "can't be read as a file of weights alone"),
        ({"epoch": 3}, "holds no weights by name"),
        ([1, 2], "holds no weights by name"),
        ({"other.weight": torch.zeros(2)}, "none of its 1 weights fits SmallCNN: its first is 'other.weight'"),
    ],
)
def test_refused_files(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as refusal:
        load_pretrained(encoder(), saved(tmp_path, content))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights at .*nowhere\.pt"):
        load_pretrained(encoder(), tmp_path / "nowhere.pt")
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match="can't be read"):
        load_pretrained(encoder(), tmp_path / "half.pt")
    (tmp_path / "empty.pt").touch()
    with pytest.raises(ValueError, match="can't be read"):
        load_pretrained(encoder(), tmp_path / "empty.pt")
