"""What runs in nnU-Net's own environment: its plan of Task04 narrowed, its trainer for some iterations, its Dice.

    nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=... PYTHON theirs.py prepare TASK04
    ... PYTHON theirs.py train ITERATIONS     # and predict the validation cases of fold 0
    ... PYTHON theirs.py time ITERATIONS
    ... PYTHON theirs.py versions ""

It imports nothing of ours. The last line of its output is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

DATASET = "Dataset004_Hippocampus"
RAW, PREPROCESSED = "nnUNet_raw", "nnUNet_preprocessed"  # nnU-Net's own names of its folders
PATCH, BATCH, FEATURES = [40, 56, 40], 2, [16, 32, 64, 128]


def prepare(task04: str) -> None:
    """Bring the data into nnU-Net's layout, plan and preprocess it, and narrow the plan."""
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
    path = Path(os.environ[PREPROCESSED]) / DATASET / "nnUNetPlans.json"
    if path.exists():
        print(json.dumps({"prepared": str(path)}))
        return
    command = [str(scripts / "nnUNetv2_plan_and_preprocess"), "-d", "4", "-c", "3d_fullres", "-np", "2", "-npfp", "2"]
    subprocess.run(command, check=True)
    plans = json.loads(path.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["patch_size"] == PATCH, configuration["patch_size"]
    configuration["batch_size"] = BATCH
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = FEATURES
    path.write_text(json.dumps(plans, indent=1))
    print(json.dumps({"prepared": str(path)}))


def train(iterations: int, *, validate: bool = True) -> None:
    """Train fold 0 from scratch in epochs of 20 iterations, and tell the seconds; and the Dice of its validation."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = Path(os.environ[PREPROCESSED]) / DATASET
    plans, dataset = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = False  # as its command line does
    threads = torch.get_num_threads()
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    torch.set_num_threads(threads)
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 20, 1
    trainer.num_epochs = iterations // 20
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    torch.set_num_threads(threads)
    seconds = []
    for _ in range(trainer.num_epochs):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        began = time.perf_counter()
        outputs = [trainer.train_step(next(trainer.dataloader_train)) for _ in range(20)]
        seconds.append((time.perf_counter() - began) / 20)
        trainer.on_train_epoch_end(outputs)
        trainer.current_epoch += 1
    record = {"seconds_per_iteration": seconds, "threads": threads}
    if validate:
        trainer.perform_actual_validation(save_probabilities=False)
        summary = json.loads((Path(trainer.output_folder) / "validation" / "summary.json").read_text())
        record["dice"] = round(summary["foreground_mean"]["Dice"], 4)
    print(json.dumps(record))


def versions() -> None:
    """Tell what this environment has."""
    names = ("nnunetv2", "torch", "dynamic_network_architectures", "batchgeneratorsv2")
    print(json.dumps({name: version(name) for name in names}))


if __name__ == "__main__":
    command, argument = sys.argv[1:]
    if command == "prepare":
        prepare(argument)
    elif command == "versions":
        versions()
    else:
        train(int(argument), validate=command == "train")
