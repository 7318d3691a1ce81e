"""What is shared: model.pt and model.safetensors hold the same weights at any time."""

import io
import json
import logging

import pytest
import safetensors.torch
import torch
from full_disk import files_up_to

from monai_patchgrow.handlers import share_weights
from monai_patchgrow.handlers.shared_weights import beside, keep_in_step, save_weights
from monai_patchgrow.safetensors_header import metadata_of, read_header
from monai_patchgrow.sealed_files import digest_of, is_sealed, seal
from monai_patchgrow.weight_files import read_weights


class Tied(torch.nn.Module):
    """A network with a tied weight, a transposed one, an empty one, and a batch norm."""

    def __init__(self, value=1.0):
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False)
        torch.nn.init.constant_(self.first.weight, value)
        self.second.weight = self.first.weight
        self.turned = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
        self.empty = torch.nn.Parameter(torch.zeros(0, 4))
        self.norm = torch.nn.BatchNorm1d(3)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "models" / "model.pt"
    save_weights(Tied().state_dict(), path)
    return path


def equal(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def texts_of(path):
    return metadata_of(read_header(io.BytesIO(path.read_bytes())))


def digest(path):
    return digest_of(io.BytesIO(path.read_bytes()))


def test_both_files_hold_the_weights(path):
    assert equal(read_weights(beside(path)), read_weights(path))
    Tied(2.0).load_state_dict(read_weights(beside(path)))


def test_a_tied_weight_stands_in_the_file_once(path):
    assert "second.weight" not in safetensors.torch.load_file(beside(path))
    network = Tied(2.0)
    assert safetensors.torch.load_model(network, beside(path)) == (set(), [])
    assert network.second.weight[0, 0].item() == 1.0


def test_parts_of_one_tensor_are_stored_apart(path):
    whole = torch.arange(6.0)
    save_weights({"whole": whole, "first": whole[:3], "last": whole[3:], "again": whole[:3]}, path)
    assert read_weights(beside(path))["last"].tolist() == [3.0, 4.0, 5.0]
    assert sorted(safetensors.torch.load_file(beside(path))) == ["first", "last", "whole"]


def test_the_file_says_what_it_is_of(path):
    texts = texts_of(beside(path))
    assert {name: texts[name] for name in ("format", "patchgrow_format", "patchgrow_sha256_of_pt")} == {
        "format": "pt",
        "patchgrow_format": "1",
        "patchgrow_sha256_of_pt": digest(path),
    }
    assert json.loads(texts["patchgrow_module_versions"])["norm"] == {"version": 2}
    assert is_sealed(io.BytesIO(beside(path).read_bytes()))


def test_a_file_is_sealed_once(path):
    with pytest.raises(ValueError, match=r"model\.safetensors can't be sealed: "):
        seal(beside(path))


def test_the_versions_of_modules_are_read_too(path):
    assert read_weights(beside(path))._metadata == dict(Tied().state_dict()._metadata)


def test_the_same_weights_make_the_same_file(path, tmp_path):
    for number in range(8):  # the library's order of texts changes
        save_weights(Tied().state_dict(), tmp_path / f"{number}.pt")
        assert beside(tmp_path / f"{number}.pt").read_bytes() == beside(path).read_bytes()


def test_what_is_shared_afterwards_is_the_same_file(path):
    before = beside(path).read_bytes()
    assert share_weights(path).read_bytes() == before


def test_a_full_disk_leaves_both_old_files(path):
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    large = {"weight": torch.zeros(99_999)}
    with files_up_to(100_000), pytest.raises(OSError, match=r"^can't write .*/model\.pt \(File too large\): make room"):
        save_weights(large, path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.zeros(2, dtype=torch.complex128), "safetensors hold no torch.complex128"),
        ({"a": 1}, "safetensors hold tensors alone, and other is none"),
    ],
)
def test_what_the_format_has_no_place_for_is_written_to_model_pt_alone(path, caplog, value, reason):
    with caplog.at_level(logging.WARNING):
        save_weights({"weight": torch.zeros(2), "other": value}, path)
    assert caplog.messages == [f"{beside(path)} is not written: {reason}"]
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


def test_weights_are_shared_afterwards(tmp_path):
    torch.save(Tied().state_dict(), tmp_path / "model.pt")
    assert share_weights(tmp_path / "model.pt") == tmp_path / "model.safetensors"
    Tied(2.0).load_state_dict(read_weights(tmp_path / "model.safetensors"))


def test_weights_that_are_no_numbers_are_not_shared(tmp_path):
    torch.save({"weight": torch.tensor([1.0, torch.nan])}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"^1 weights in .*model\.pt are NaN or infinite: such are not shared$"):
        share_weights(tmp_path / "model.pt")
    assert not (tmp_path / "model.safetensors").exists()


def replace_by_an_older_version(path):
    torch.save(Tied(3.0).state_dict(), path)


def damage(path):
    content = bytearray(beside(path).read_bytes())
    content[-1] ^= 1
    beside(path).write_bytes(content)


def delete(path):
    beside(path).unlink()


@pytest.mark.parametrize("harm", [replace_by_an_older_version, damage, delete])
def test_what_an_earlier_run_left_is_mended(path, harm):
    harm(path)
    keep_in_step(path)
    assert texts_of(beside(path))["patchgrow_sha256_of_pt"] == digest(path)
    assert equal(read_weights(beside(path)), read_weights(path))


def test_what_is_in_step_is_left_alone(path):
    before = beside(path).stat()
    keep_in_step(path)
    assert beside(path).stat() == before


def test_nothing_stays_beside_a_damaged_model(path, caplog):
    path.write_bytes(path.read_bytes()[:-200])
    with caplog.at_level(logging.WARNING):
        keep_in_step(path)
    assert "model.safetensors is not written: " in caplog.messages[0]
    assert not beside(path).exists()
