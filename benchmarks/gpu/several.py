"""A training through torch's launcher, with one process: NCCL on a GPU, gloo on a CPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from task04 import BUNDLE

from monai_patchgrow.data import write_phantom_task
from monai_patchgrow.handlers.run_log import read_history

__all__ = ["measure_ranks"]


def measure_ranks(device: str, folder: Path) -> dict[str, Any]:
    """Train two epochs as a user of several GPUs would; what came out, and the last line where nothing did."""
    shutil.rmtree(folder, ignore_errors=True)
    data = write_phantom_task(folder.parent / "phantom", num_cases=12)
    configs = ["configs/train.json", "configs/multi_gpu_train.json"]
    keys = {
        "config_file": str([str(BUNDLE / name) for name in configs]),
        "bundle_root": str(BUNDLE),
        "dataset_dir": str(data),
        "output_dir": str(folder.absolute()),
        "cache_dir": str(folder.absolute().parent / "cache"),
        "labels": '{"0": "background", "1": "Anterior", "2": "Posterior"}',
        "max_epochs": "2",
        "iterations_per_epoch": "4",
        "val_interval": "2",
        "verify_data": "False",
        **({"features": "[4, 4, 8, 8]"} if device == "cpu" else {}),
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    options = [word for name, value in keys.items() for word in (f"--{name}", value)]
    command = [*launcher, "-m", "monai.bundle", "run", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    history = read_history(folder / "history.jsonl")
    return {"losses": [record["loss"] for record in history], "dice": history[-1]["dice"]}
