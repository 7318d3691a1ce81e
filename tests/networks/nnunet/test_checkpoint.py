"""nnU-Net's checkpoints are read as tensors, numbers and text; code in them is refused."""

import os

import numpy as np
import pytest
import torch

from monai_patchgrow.networks.nnunet.checkpoint import read_checkpoint

CONTENT = {
    "network_weights": {"module.conv.weight": torch.ones(1), "_orig_mod.conv.bias": torch.zeros(1)},
    "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
    "logging": {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)], "epoch_start_timestamps": [1.5]},
    "_best_ema": np.float64(0.5),
    "current_epoch": 3,
    "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu"), "plans": {}},
    "trainer_name": "nnUNetTrainer",
    "inference_allowed_mirroring_axes": (0, 1, 2),
}


class Payload:
    def __reduce__(self):
        return os.system, ("touch mark",)


def saved(content, tmp_path):
    torch.save(content, tmp_path / "checkpoint_final.pth")
    return tmp_path / "checkpoint_final.pth"


def test_what_a_bundle_has_use_for(tmp_path):
    found = read_checkpoint(saved(CONTENT, tmp_path))
    assert (found.trainer, found.configuration, found.mirror_axes) == ("nnUNetTrainer", "3d_fullres", (0, 1, 2))
    assert sorted(found.weights) == ["conv.bias", "conv.weight"]


@pytest.mark.parametrize("axes", [None, ()])
def test_a_trainer_that_mirrors_nothing(tmp_path, axes):
    assert read_checkpoint(saved({**CONTENT, "inference_allowed_mirroring_axes": axes}, tmp_path)).mirror_axes == ()


def test_a_file_of_weights_alone_is_none(tmp_path):
    assert read_checkpoint(saved({"conv.weight": torch.ones(1)}, tmp_path)) is None


def test_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="holds more than tensors, numbers and text"):
        read_checkpoint(saved({**CONTENT, "logging": Payload()}, tmp_path))
    assert not (tmp_path / "mark").exists()


def test_a_damaged_file_is_named(tmp_path):
    path = saved(CONTENT, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth can't be read: "):
        read_checkpoint(path)
