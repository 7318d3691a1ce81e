"""Whether a card that torch can't use is found, and why: its driver's files, nvidia-smi and torch's answers are set."""

import pytest
import torch

from monai_patchgrow.networks import idle_gpu as module
from monai_patchgrow.networks.idle_gpu import idle_gpu

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)


def refuse():
    raise RuntimeError(TOO_OLD)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with a card, whose torch has CUDA 13, but too old a driver; no nvidia-smi."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    return tmp_path


def test_a_driver_that_is_too_old_is_told_in_torchs_words(machine):
    line = idle_gpu(machine)
    assert line.startswith(
        "there is an NVIDIA card, but the run is on the CPU, which takes many times as long: The NVIDIA"
    )
    assert "too old (found version 12040); take a build of torch that suits" in line


def test_a_build_without_cuda_is_told(machine, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert f"many times as long: torch {torch.__version__} is a build without CUDA; take" in idle_gpu(machine)


def test_a_card_is_known_by_its_drivers_folder(machine):
    (machine / "dev" / "nvidia0").unlink()
    assert idle_gpu(machine) is None
    (machine / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert idle_gpu(machine) is not None


@pytest.mark.parametrize(
    ("listed", "is_there"), [("GPU 0: NVIDIA H100 (UUID: GPU-1)", True), ("No devices found", False)]
)
def test_a_card_is_known_by_nvidia_smi(machine, monkeypatch, listed, is_there):
    (machine / "dev" / "nvidia0").unlink()
    smi = machine / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '{listed}'\n", encoding="utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{machine}:/usr/bin:/bin")
    monkeypatch.setattr(module.shutil, "which", lambda name: str(smi))
    assert (idle_gpu(machine) is not None) == is_there


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_card_that_is_hidden_is_meant_to_be_idle(machine, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert idle_gpu(machine) is None


def test_a_card_that_torch_can_use_is_not_idle(machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert idle_gpu(machine) is None
