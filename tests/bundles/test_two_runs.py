"""A run that would write where another one writes is refused before an image is read."""

import multiprocessing
import os
import runpy
import time
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_patchgrow.bundle.run_lock import lock_folders

BUNDLES = Path(__file__).parents[2] / "bundles"
FORK = multiprocessing.get_context("fork")
SEGMENTATION = {"patch_size": [16, 16, 16], "features": [4, 8, 16, 32], "max_epochs": 1, "num_workers": 0}
CLASSIFICATION = {
    **{"backbone": "small_cnn", "backbone_options": {}, "latent_dim": 8},
    **{"patch_size": [16, 16, 16], "num_workers": 0},
}
BUNDLE_SETTINGS = {
    "hippocampus_segmentation_patchgrow": SEGMENTATION,
    "volume_classification_patchgd": CLASSIFICATION,
}


def run(bundle, config, **overrides):
    kind = "train" if config == "train.json" else "infer"
    file = str(BUNDLES / bundle / "configs" / config)
    settings = {} if "ckpt_path" in overrides else BUNDLE_SETTINGS[bundle]
    ConfigWorkflow(file, workflow_type=kind, logging_file=False, **settings, **overrides).initialize()


def hold(folder, ready):
    lock_folders(folder)
    ready.set()
    time.sleep(60)


@pytest.fixture
def first(tmp_path):
    """A run that writes into tmp_path/out."""
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "out", ready), daemon=True)
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize(
    ("bundle", "config"),
    [
        ("hippocampus_segmentation_patchgrow", "train.json"),
        ("volume_classification_patchgd", "train.json"),
        ("volume_classification_patchgd", "evaluate.json"),
    ],
)
def test_the_second_run_is_refused(bundle, config, first, line_of, tmp_path):
    folders = {"dataset_dir": str(tmp_path / "data"), "output_dir": str(tmp_path / "out")}
    if config == "train.json":
        folders["cache_dir"] = str(tmp_path / "cache")
    line = line_of(bundle, config, **folders)
    assert line.startswith(f"error: {tmp_path}/out: another run writes there, process {first.pid} on ")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("config", ["evaluate.json", "inference.json"])
def test_the_second_evaluation_or_inference_of_a_segmentation_is_refused(config, first, line_of, tmp_path):
    (tmp_path / "model.pt").touch()
    (tmp_path / "image.nii.gz").touch()
    files = {"dataset_dir": str(tmp_path), "ckpt_path": str(tmp_path / "model.pt")}
    line = line_of("hippocampus_segmentation_patchgrow", config, output_dir=str(tmp_path / "out"), **files)
    assert line.startswith(f"error: {tmp_path}/out: another run writes there, process {first.pid} on ")


def try_to_lock(folder, told):
    try:
        lock_folders(folder)
        told.put("locked")
    except ValueError as error:
        told.put(str(error))


def told_by_another(folder):
    told = FORK.Queue()
    process = FORK.Process(target=try_to_lock, args=(folder, told))
    process.start()
    line = told.get(timeout=30)
    process.join()
    return line


def test_a_segmentation_s_scripts_keep_their_folder_while_they_write(tmp_path):
    settings = runpy.run_path(str(BUNDLES / "hippocampus_segmentation_patchgrow" / "scripts" / "settings.py"))
    with settings["writing_alone"](tmp_path):
        assert f"another run writes there, process {os.getpid()} on " in told_by_another(tmp_path)
    assert told_by_another(tmp_path) == "locked"
