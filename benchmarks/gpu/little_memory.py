"""What happens where a GPU's memory ends: in validation, in a training step, in evaluation and prediction."""

from __future__ import annotations

import json
import logging
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from bundle_runs import workflow_of
from monai.data import DataLoader, Dataset
from task04 import BUNDLE

__all__ = ["run_out_of_memory"]

_LARGE = (320, 320, 320)  # logits of three classes: 0.4 GB


def run_out_of_memory(device: str, folder: Path) -> dict[str, Any]:
    """Run each with a share of the memory that it doesn't fit in; on a CPU, with all of it, to try the programs."""
    lines = _Lines()
    logging.getLogger("monai_patchgrow").addHandler(lines)
    return {
        "validation": _validate(device, folder / "validation"),
        "training": _train(device, folder / "training"),
        "prediction": _predict(device, folder),
        "lines": lines.texts,
    }


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _limit(device: str, bytes_more: float | None) -> None:
    """Let torch take so many bytes more than it holds, or all there are."""
    if device == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        share = 1.0 if bytes_more is None else (torch.cuda.memory_reserved() + bytes_more) / total
        torch.cuda.set_per_process_memory_fraction(share)


def _validate(device: str, folder: Path) -> dict[str, Any]:
    """Dice of one large case, on the GPU and where it does not hold the logits."""
    parser = workflow_of(device, folder, max_epochs=1).parser
    evaluator = parser.get_parsed_content("validate#evaluator")
    shape = _LARGE if device == "cuda" else (48, 48, 48)
    torch.manual_seed(0)
    case = {"image": torch.rand(1, *shape), "label": torch.randint(3, (1, *shape), dtype=torch.uint8)}
    evaluator.data_loader = DataLoader(Dataset([case]), batch_size=1)
    dice = []
    for more in (None, 2**29):
        _limit(device, more)
        evaluator.run()
        dice.append(float(evaluator.state.metrics["val_mean_dice"]))
    _limit(device, None)
    return {"dice": dice}


def _train(device: str, folder: Path) -> dict[str, Any]:
    """Iterations of the full patch in memory for less than its batch."""
    keys = {"curriculum": "constant", "max_epochs": 1, "iterations_per_epoch": 3}
    trainer = workflow_of(device, folder, **keys).parser.get_parsed_content("train#trainer")
    _limit(device, 2**30)
    trainer.run()
    _limit(device, None)
    return {"loss": float(trainer.state.output[0]["loss"])}


def _predict(device: str, folder: Path) -> dict[str, Any]:
    """The bundle's own prediction on a phantom, in little memory."""
    images = sorted((folder.parent / "phantom" / "imagesTr").glob("*.nii.gz"))[:1]
    script, before = BUNDLE / "scripts" / "predict.py", sys.argv
    _limit(device, 2**28)
    output = folder / "predicted"
    sys.argv = [str(script), "--dataset_dir", str(images[0]), "--output_dir", str(output), "--device", device]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    finally:
        sys.argv = before
        _limit(device, None)
    return {"code": json.loads(json.dumps(code, default=str)), "files": [path.name for path in output.glob("*")]}
