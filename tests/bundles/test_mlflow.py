"""MONAI's own tracking by MLflow: loss and metrics of a training, metrics of an evaluation."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monai_patchgrow.handlers.run_log import read_history

BUNDLES = Path(__file__).parents[2] / "bundles"
SEGMENTATION, CLASSIFICATION = "hippocampus_segmentation_patchgrow", "ultramnist_classification_patchgd"
NETWORK = {
    "patch_size": [16, 16, 16],
    "features": [4, 4, 8, 8],
    "spacing": [2.0, 2.0, 2.0],
    "labels": {"0": "background", "1": "head", "2": "tail"},
}
SHORT = {"batch_size": 2, "max_epochs": 2, "iterations_per_epoch": 2, "val_interval": 1, "num_workers": 0}

# mlflow warns of much that is not ours, and its imports take seconds: only this process reads what was written
_READ = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "monai_experiment"]
(run,) = client.search_runs(experiment.experiment_id)
histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
print(json.dumps({name: [(metric.step, metric.value) for metric in history] for name, history in histories.items()}))
"""


@pytest.fixture(scope="module")
def tracked(phantom_task, tmp_path_factory):
    """The folder of a run that was tracked and then evaluated; its metrics by engine."""
    pytest.importorskip("mlflow", reason="pip install mlflow")
    folder = tmp_path_factory.mktemp("tracked")
    data = {"dataset_dir": str(phantom_task), **NETWORK}
    run(SEGMENTATION, "train.json", folder, output_dir=str(folder), cache_dir=str(folder / "cache"), **data, **SHORT)
    weights = str(folder / "models" / "model.pt")
    run(SEGMENTATION, "evaluate.json", folder, output_dir=str(folder / "eval"), ckpt_path=weights, **data)
    return folder, {"train": read(folder), "evaluate": read(folder / "eval")}


def read(folder):
    """The metrics that were tracked into a folder, each with its steps and values."""
    command = [sys.executable, "-W", "ignore", "-c", _READ, f"sqlite:///{folder}/mlruns.db"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(bundle, config, cwd, **overrides):
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--tracking", "mlflow"]
    command += ["--config_file", str(BUNDLES / bundle / "configs" / config)]
    for name, value in overrides.items():
        command += [f"--{name}", str(value)]
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)
    assert process.returncode == 0, process.stderr[-3000:]


def test_loss_of_every_iteration_arrives(tracked):
    folder, metrics = tracked
    steps, losses = zip(*metrics["train"]["train_loss"], strict=True)
    assert steps == (1, 2, 3, 4)
    means = [sum(losses[:2]) / 2, sum(losses[2:]) / 2]
    assert means == pytest.approx([record["loss"] for record in read_history(folder / "history.jsonl")])


def test_dice_of_every_validation_arrives(tracked):
    folder, metrics = tracked
    dice = [record["dice"]["mean"] for record in read_history(folder / "history.jsonl")]
    assert metrics["train"]["val_mean_dice"] == [[1, pytest.approx(dice[0])], [2, pytest.approx(dice[1])]]


def test_dice_of_an_evaluation_arrives(tracked):
    ((step, dice),) = tracked[1]["evaluate"]["val_mean_dice"]
    assert step == 1
    assert 0 <= dice <= 1


@pytest.mark.slow
def test_a_classification_is_tracked_as_well(tmp_path):
    pytest.importorskip("mlflow", reason="pip install mlflow")
    pytest.importorskip("sklearn", reason="needs the extra digits")
    small = {"backbone": "small_cnn", "backbone_options": {}, "latent_dim": 8, "image_size": [64, 64]}
    short = {"train_images": 4, "val_images": 2, "batch_size": 2, "max_epochs": 2, "num_workers": 0}
    run(CLASSIFICATION, "train.json", tmp_path, output_dir=str(tmp_path), **small, **short)
    metrics, history = read(tmp_path), list(read_history(tmp_path / "history.jsonl"))
    assert [step for step, _ in metrics["train_loss"]] == [1, 2, 3, 4]
    accuracy = [record["metrics"]["val_accuracy"] for record in history]
    assert [value for _, value in metrics["val_accuracy"]] == pytest.approx(accuracy)
