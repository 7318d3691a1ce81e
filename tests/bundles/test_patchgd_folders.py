"""Where a classification may not write, or may not compute, is said before an image is read."""

import os
import tempfile
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

BUNDLES = Path(__file__).parents[2] / "bundles"
VOLUME = "volume_classification_patchgd"
SMALL = {"backbone": "small_cnn", "backbone_options": {}, "latent_dim": 8, "patch_size": [16, 16, 16], "num_workers": 0}


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    kind = "train" if config == "train.json" else "infer"
    file = str(BUNDLES / bundle / "configs" / config)
    workflow = ConfigWorkflow(file, workflow_type=kind, logging_file=False, **{**SMALL, **overrides})
    workflow.initialize()
    workflow.run()


@pytest.fixture
def volumes(tmp_path):
    """Volumes that can't be read."""
    for number in range(6):
        path = tmp_path / "volumes" / "ab"[number % 2] / f"case_{number}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"broken")
    return tmp_path / "volumes"


def deny(dir=None):
    raise OSError(30, os.strerror(30), dir)


@pytest.mark.parametrize("config", ["train.json", "evaluate.json", "inference.json"])
def test_a_read_only_output(config, volumes, line_of, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", deny)
    line = line_of(VOLUME, config, dataset_dir=volumes, output_dir=tmp_path / "out")
    assert line == f"error: output_dir: can't write to {tmp_path}/out (Read-only file system): give another folder"


@pytest.mark.parametrize("name", ["output_dir", "ckpt_dir", "cache_dir"])
def test_a_file_in_the_way_of_training(name, volumes, line_of, tmp_path):
    (tmp_path / "file").write_text("")
    folders = {"output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache", name: tmp_path / "file" / "folder"}
    line = line_of(VOLUME, "train.json", dataset_dir=volumes, **folders)
    assert line == f"error: {name}: can't write to {tmp_path}/file/folder (Not a directory): give another folder"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("config", ["train.json", "evaluate.json", "inference.json"])
@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_a_device_that_is_not_there(config, device, volumes, line_of, tmp_path):
    line = line_of(VOLUME, config, dataset_dir=volumes, output_dir=tmp_path / "out", device=device)
    assert line.startswith(f"error: device must be one that is there, such as cpu, got '{device}': ")
    assert not (tmp_path / "out").exists()
