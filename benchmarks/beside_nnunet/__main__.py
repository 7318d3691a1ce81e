"""nnU-Net v2's own trainer beside ours on Task04: seconds per iteration, and Dice after the same time.

    bash scripts/setup.sh plot && . scripts/environment.sh
    .venv/bin/python benchmarks/beside_nnunet --python NNUNET_ENVIRONMENT/bin/python --seconds 240

NNUNET_ENVIRONMENT has nnunetv2 2.8.1 and the same torch; where torchvision can't be imported, delete its folder
nnunetv2/training/nnUNetTrainer/primus. Both train the narrowed network in float32 with as many threads, batches of 2
full patches, data loading and augmentation in the training process. Speed is taken in turn (A B A B); then each is
planned for the same seconds, at its own speed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import fire

sys.path.insert(0, str(Path(__file__).parents[1]))

from results_file import table, write_results
from task04 import BUNDLE, find_task04

from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.compare.compare import train

_EPOCH = 20  # iterations
_STAGES = 15  # of `efficiency`
_SETTINGS = {"features": [16, 32, 64, 128], "batch_size": 2, "num_workers": 0, "iterations_per_epoch": _EPOCH}


def measure(
    python: str,
    seconds: float = 240,
    rounds: int = 2,
    iterations: int = 60,
    work: str = "runs/beside_nnunet",
    data: str | None = None,
) -> None:
    """Measure speed and Dice, and write the dated results."""
    folder, task04 = Path(work).absolute(), find_task04(data)
    _theirs(python, folder, "prepare", task04)
    speeds: dict[str, list[float]] = {"nnunet": [], "constant": []}
    for number in range(rounds):
        speeds["nnunet"] += _theirs(python, folder, "time", str(iterations))["seconds_per_iteration"][1:]
        speeds["constant"] += _ours(folder / f"time_{number}", task04, "constant", iterations // _EPOCH)[0][1:]
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    medians["efficiency"] = statistics.mean(_ours(folder / "time_growing", task04, "efficiency", _STAGES)[0])
    print(json.dumps(medians), flush=True)
    planned = {name: _planned(seconds, each) for name, each in medians.items()}
    dice = {"nnunet": _theirs(python, folder, "train", str(planned["nnunet"]))["dice"]}
    for name in ("constant", "efficiency"):
        dice[name] = round(_ours(folder / name, task04, name, planned[name] // _EPOCH)[1], 4)
    versions = _theirs(python, folder, "versions", "")
    record = {"seconds_per_iteration": speeds, "medians": medians, "dice": dice, "versions": versions}
    titles = {"nnunet": "nnU-Net's nnUNetTrainer", "constant": "ours, `constant`", "efficiency": "ours, `efficiency`"}
    rows = [[titles[name], f"{medians[name]:.3f}", planned[name], dice[name]] for name in titles]
    header = ["trainer", "seconds per iteration", f"iterations in {seconds:.0f} s", "Dice, fold 0"]
    lines = [
        f"Versions: {json.dumps(versions)}. Settings: `{json.dumps(_SETTINGS)}`, float32.",
        "",
        *table(header, rows),
    ]
    write_results("beside_nnunet", "Beside nnU-Net v2 on Task04", script="benchmarks/beside_nnunet",
                  record=record, lines=lines)  # fmt: skip


def _planned(seconds: float, each: float) -> int:
    return int(seconds / each) // _EPOCH * _EPOCH


def _theirs(python: str, folder: Path, command: str, argument: str) -> dict[str, Any]:
    """Run nnU-Net's side in its environment; what its last line says."""
    names = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed", "nnUNet_results": "results"}
    paths = {key: str(folder / "nnunet" / name) for key, name in names.items()}
    environment = {**os.environ, **paths, "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    script = str(Path(__file__).with_name("theirs.py"))
    output = subprocess.run([python, script, command, argument], env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(output.stdout.decode().splitlines()[-1]))


def _ours(folder: Path, task04: str, curriculum: str, epochs: int) -> tuple[list[float], float]:
    """Seconds per iteration of every epoch, and the Dice at the end."""
    train(
        BUNDLE,
        dataset_dir=task04,
        output_dir=folder,
        cache_dir=folder.parent / "preprocessed",
        curriculum=curriculum,
        max_epochs=epochs,
        val_interval=epochs,
        verify_data=False,
        mirror_axes=[0, 1, 2],  # as nnU-Net
        **_SETTINGS,
    )
    history = read_history(folder / "history.jsonl")
    return [record["seconds"] / _EPOCH for record in history], history[-1]["dice"]["mean"]


if __name__ == "__main__":
    fire.Fire(measure)
