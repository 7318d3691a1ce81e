"""Weights are read from torch's files and from safetensors; one that is not as it was written is never used."""

import random
import sys

import pytest
import safetensors.torch
import torch

from monai_patchgrow.handlers import share_weights
from monai_patchgrow.weight_files import read_weights

WEIGHTS = {"weight": torch.arange(400.0).reshape(20, 20), "steps": torch.tensor(3), "mask": torch.tensor([True, False])}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What a run writes beside its model.pt."""
    path = tmp_path_factory.mktemp("models") / "model.pt"
    torch.save(WEIGHTS, path)
    return share_weights(path).read_bytes()


def equal(found):
    return set(found) == set(WEIGHTS) and all(torch.equal(found[name], weight) for name, weight in WEIGHTS.items())


def test_both_kinds_hold_the_same(tmp_path, shared):
    (tmp_path / "a.safetensors").write_bytes(shared)
    torch.save(WEIGHTS, tmp_path / "a.pt")
    assert equal(read_weights(tmp_path / "a.safetensors"))
    assert equal(read_weights(tmp_path / "a.pt"))


def test_a_safetensors_file_of_others_is_read(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "a.safetensors", {"format": "pt", "sha256": "0" * 64})
    assert equal(read_weights(tmp_path / "a.safetensors"))


def harm(content, kind, rng, end):
    place = rng.randrange(end)
    if kind == "bit":
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        content[place] = (content[place] + 1 + rng.randrange(255)) % 256
    elif kind == "block":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    else:
        del content[place:]
    return bytes(content)


@pytest.mark.parametrize("part", ["header", "file"])
@pytest.mark.parametrize("kind", ["bit", "byte", "block", "cut"])
def test_no_damage_is_silent(tmp_path, shared, kind, part):
    path, rng = tmp_path / "a.safetensors", random.Random(0)
    end = shared.index(b"}}") if part == "header" else len(shared)
    for _ in range(125):
        damaged = harm(bytearray(shared), kind, rng, end)
        path.write_bytes(damaged)
        if damaged == shared:  # zeros on zeros
            continue
        with pytest.raises(ValueError, match=r"^(its bytes are not those|it is no \.safetensors file)[^\n]*$"):
            read_weights(path)


def test_a_seal_that_is_gone_is_damage(tmp_path, shared):
    path = tmp_path / "a.safetensors"
    path.write_bytes(shared.replace(b"patchgrow_sha256", b"patchgrow_sha255"))
    with pytest.raises(ValueError, match=r"^its bytes are not those that were written \(SHA-256\)$"):
        read_weights(path)


def test_without_the_package_one_line_says_what_is_missing(tmp_path, shared, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(shared)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ValueError, match=r"^it needs the package safetensors: pip install safetensors$"):
        read_weights(tmp_path / "a.safetensors")
