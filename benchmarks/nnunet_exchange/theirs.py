"""What runs in nnU-Net's own environment: its plan, its trainer from given weights, its logits, its predictions.

    nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=... PYTHON theirs.py prepare TASK04 PLANNER
    ... PYTHON theirs.py train PLANS CHECKPOINT ITERATIONS
    ... PYTHON theirs.py logits MODEL_FOLDER PATCHES OUTPUT
    ... PYTHON theirs.py predict MODEL_FOLDER IMAGES OUTPUT MIRRORING
    ... PYTHON theirs.py versions

It imports nothing of ours. The last line of its output is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATASET = "Dataset004_Hippocampus"
RAW, PREPROCESSED = "nnUNet_raw", "nnUNet_preprocessed"  # nnU-Net's own names of its folders
CONFIGURATION = "3d_fullres"
LEARNING_RATE = 1e-4  # its own 1e-2 would undo in a few iterations what was learnt before


def prepare(task04: str, planner: str) -> None:
    """Bring the data into nnU-Net's layout, plan and preprocess it; tell where the plan is."""
    scripts = Path(sys.executable).parent
    raw = Path(os.environ[RAW]) / DATASET
    if not raw.exists():
        cases = json.loads((Path(task04) / "dataset.json").read_text())
        for folder in ("imagesTr", "labelsTr"):
            (raw / folder).mkdir(parents=True)
        for case in cases["training"]:
            name = Path(case["image"]).name.removesuffix(".nii.gz")
            (raw / "imagesTr" / f"{name}_0000.nii.gz").symlink_to((Path(task04) / case["image"]).resolve())
            (raw / "labelsTr" / f"{name}.nii.gz").symlink_to((Path(task04) / case["label"]).resolve())
        labels = {name: int(value) for value, name in cases["labels"].items()}
        content = {"channel_names": cases["modality"], "labels": labels, "file_ending": ".nii.gz"}
        (raw / "dataset.json").write_text(json.dumps({**content, "numTraining": len(cases["training"])}))
    folder = Path(os.environ[PREPROCESSED]) / DATASET
    before = set(folder.glob("*Plans.json"))
    command = [str(scripts / "nnUNetv2_plan_and_preprocess"), "-d", "4", "-c", CONFIGURATION, "-pl", planner,
               "-np", "2", "-npfp", "2"]  # fmt: skip
    subprocess.run(command, check=True)
    (plans,) = set(folder.glob("*Plans.json")) - before
    print(json.dumps({"plans": str(plans), "dataset": str(raw / "dataset.json")}))


def train(plans_file: str, checkpoint: str, iterations: str) -> None:
    """Train fold 0 from a checkpoint's weights by nnU-Net's trainer, which writes its own; tell the folder."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = {**json.loads(Path(plans_file).read_text()), "continue_training": False}  # as its command line does
    dataset = json.loads((Path(os.environ[PREPROCESSED]) / DATASET / "dataset.json").read_text())
    threads = torch.get_num_threads()
    trainer = nnUNetTrainer(plans, CONFIGURATION, 0, dataset, device=torch.device("cpu"))
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = int(iterations), 1
    trainer.num_epochs, trainer.initial_lr = 1, LEARNING_RATE
    trainer.initialize()
    # Its load_pretrained_weights would leave the output layers at random.
    trainer.network.load_state_dict(torch.load(checkpoint, weights_only=False)["network_weights"])
    torch.set_num_threads(threads)
    trainer.run_training()
    print(json.dumps({"folder": trainer.output_folder_base}))


def predictor_of(folder: str, *, mirroring: bool = False) -> Any:
    """nnU-Net's predictor of fold 0 of a folder of models."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(folder, (0,))
    return predictor


def logits(folder: str, patches: str, output: str) -> None:
    """Save the logits of patches (B, C, z, y, x), computed in float32 and in float64."""
    network = predictor_of(folder).network.eval()
    with torch.no_grad():
        found = [
            network.to(kind)(torch.from_numpy(np.load(patches)).to(kind)) for kind in (torch.float32, torch.float64)
        ]
    np.savez(output, float32=found[0].numpy(), float64=found[1].numpy())
    print(json.dumps({"logits": output}))


def predict(folder: str, images: str, output: str, mirroring: str) -> None:
    """Predict a folder of images ``NAME_0000.nii.gz``: labels and probabilities."""
    predictor_of(folder, mirroring=mirroring == "True").predict_from_files(
        images,
        output,
        save_probabilities=True,
        num_processes_preprocessing=1,
        num_processes_segmentation_export=1,
    )
    print(json.dumps({"predicted": output}))


def versions() -> None:
    """Tell what this environment has."""
    names = ("nnunetv2", "torch", "dynamic_network_architectures", "batchgeneratorsv2")
    print(json.dumps({name: version(name) for name in names}))


if __name__ == "__main__":
    commands = {"prepare": prepare, "train": train, "logits": logits, "predict": predict, "versions": versions}
    commands[sys.argv[1]](*sys.argv[2:])
