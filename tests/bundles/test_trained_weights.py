"""The weights that a bundle comes with are those that its card and its metadata tell of."""

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from commands import run_python
from monai.bundle import ConfigParser

from monai_patchgrow.data import read_task, split_cases
from monai_patchgrow.sealed_files import check_seal

BUNDLES = Path(__file__).parents[2] / "bundles"
TABLE = json.loads((BUNDLES / "tasks.json").read_text())["tasks"]
TRAINED = {f"{task['card']['name']}_segmentation_patchgrow": task["card"]["weights"]
           for task in TABLE.values() if "weights" in task["card"]}  # fmt: skip
MOST_BYTES = 25_000_000

each_trained = pytest.mark.parametrize("name", TRAINED)


def model_of(name):
    return BUNDLES / name / "models" / "model.pt"


def test_the_hippocampus_bundle_has_weights():
    assert list(TRAINED) == ["hippocampus_segmentation_patchgrow"]


@each_trained
def test_the_file_is_the_one_of_the_card(name):
    content = model_of(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == TRAINED[name]["sha256"]
    assert len(content) < MOST_BYTES
    check_seal(model_of(name))
    assert TRAINED[name]["sha256"] in (BUNDLES / name / "docs" / "README.md").read_text()


@each_trained
def test_they_fit_the_network(name):
    network = ConfigParser.load_config_file(BUNDLES / name / "configs" / "inference.json")
    parser = ConfigParser({**network, "bundle_root": str(BUNDLES / name)})
    definition = parser.get_parsed_content("network_def")
    definition.load_state_dict(torch.load(model_of(name), weights_only=True))
    assert all(torch.isfinite(weight).all() for weight in definition.state_dict().values())


@each_trained
def test_metadata_has_the_card_s_dice(name):
    metrics = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text())["eval_metrics"]
    assert metrics["mean_dice"] == TRAINED[name]["dice"]["mean"]
    assert set(metrics) == {"mean_dice", *(f"dice_{label}" for label in TRAINED[name]["dice"] if label != "mean")}


@each_trained
def test_the_log_of_the_training_is_there(name):
    lines = model_of(name).with_name("history.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line)["loss"]) for line in lines)


def test_a_stranger_segments_a_hippocampus(task04, tmp_path):
    name = "hippocampus_segmentation_patchgrow"
    case = split_cases(read_task(task04).cases, fold=0)[1][0]
    script = BUNDLES / name / "scripts" / "predict.py"
    done = run_python(script, "--dataset_dir", case.image, "--output_dir", tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.rglob("*.nii.gz")
    found, truth = (np.asarray(nib.load(path).dataobj) for path in (written, case.label))
    for label in (1, 2):
        overlap = 2 * np.logical_and(found == label, truth == label).sum()
        assert overlap / ((found == label).sum() + (truth == label).sum()) > 0.8
