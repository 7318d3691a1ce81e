"""A network that can't be built, or doesn't fit its weights, is one line."""

import pytest
import torch

from monai_patchgrow.bundle.patchgd.network import build_encoder, build_head, load_weights
from monai_patchgrow.handlers.shared_weights import save_weights

ENCODER = {"in_channels": 1, "latent_dim": 8, "spatial_dims": 2}
HEAD = {"latent_dim": 8, "num_outputs": 2, "grid_shape": None, "spatial_dims": 2}


def test_options_that_a_backbone_does_not_know():
    with pytest.raises(ValueError, match=r"^backbone_options don't fit, got \{'depth': 3\}: TypeError: "):
        build_encoder("small_cnn", options={"depth": 3}, **ENCODER)


def test_options_that_are_none():
    with pytest.raises(ValueError, match=r"^backbone_options don't fit, got 3: TypeError: "):
        build_encoder("small_cnn", options=3, **ENCODER)


def test_options_that_a_head_does_not_know():
    with pytest.raises(ValueError, match=r"^head_options don't fit, got \{'drop': 0\}: TypeError: "):
        build_head("conv_pooled", options={"drop": 0}, **HEAD)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"^ckpt_path: no weights at .*a\.pt: train the bundle first"):
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / "a.pt"))


@pytest.mark.parametrize("content", [torch.nn.Linear(2, 4).state_dict(), torch.nn.Conv1d(1, 1, 1).state_dict(), 3])
def test_weights_of_another_network(content, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"^ckpt_path: .*a\.pt holds no weights of this network: ") as caught:
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / "a.pt"))
    assert "\n" not in str(caught.value)


def test_weights_of_the_network(tmp_path):
    trained, network = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    load_weights(network, ckpt_path=str(tmp_path / "a.pt"))
    assert torch.equal(network.weight, trained.weight)


def test_weights_of_the_network_in_safetensors_form(tmp_path):
    trained, network = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    save_weights(trained.state_dict(), tmp_path / "model.pt")
    load_weights(network, ckpt_path=str(tmp_path / "model.safetensors"))
    assert torch.equal(network.weight, trained.weight)


def test_safetensors_of_another_network(tmp_path):
    save_weights(torch.nn.Linear(2, 4).state_dict(), tmp_path / "model.pt")
    with pytest.raises(
        ValueError, match=r"^ckpt_path: .*model\.safetensors holds no weights of this network: "
    ) as caught:
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / "model.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_damaged_weights(tmp_path, name):
    save_weights(torch.nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^ckpt_path: .*can't be used: its bytes are not those that were written"):
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / name))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value, tmp_path):
    network = torch.nn.Linear(2, 3)
    network.weight.data[0, :2] = value
    torch.save(network.state_dict(), tmp_path / "a.pt")
    with pytest.raises(
        ValueError, match=r"^ckpt_path: 2 weights in .*a\.pt are NaN or infinite: train anew with a lower"
    ):
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / "a.pt"))


def test_pretrained_weights_that_are_not_finite(tmp_path):
    encoder = build_encoder("small_cnn", options={}, **ENCODER)
    next(encoder.parameters()).data.view(-1)[0] = float("nan")
    torch.save(encoder.state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"^pretrained: 1 weights in .*a\.pt are NaN or infinite: give others$"):
        build_encoder("small_cnn", options={}, pretrained=str(tmp_path / "a.pt"), **ENCODER)


def test_weights_that_this_user_may_not_read(tmp_path, monkeypatch):
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "a.pt")

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", deny)
    with pytest.raises(ValueError, match=r"^ckpt_path: .*a\.pt can't be opened \(Permission denied\)$"):
        load_weights(torch.nn.Linear(2, 3), ckpt_path=str(tmp_path / "a.pt"))
