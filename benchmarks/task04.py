"""What the benchmarks on the real MSD Task04 share: where it is, its plan, and the bundle's own trainer."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundles" / "hippocampus_segmentation_patchgrow"
PLAN: dict[str, Any] = {
    "patch_size": (40, 56, 40),
    "total_stride": (8, 8, 8),
    "batch_size": 9,
    "max_epochs": 1000,
    "axis_order": (2, 1, 0),
}


def find_task04(data: str | None = None) -> str:
    """The folder `data`, else Task04_Hippocampus under PATCHGROW_DATA."""
    root = Path(os.environ.get("PATCHGROW_DATA", ROOT.parent / "shared" / "data"))
    return str(Path(data) if data else root / "Task04_Hippocampus")


def make_trainer(**settings: Any) -> Any:
    """The trainer of the bundle's train.json under these settings, without its validation."""
    parser = ConfigParser()
    parser.config_root_path = BUNDLE / "configs" / "train.json"
    parser.read_config(parser.config_root_path)
    for key, value in settings.items():
        parser[key] = value
    handlers = parser["train"]["handlers"]
    parser["train"]["handlers"] = [one for one in handlers if "Validation" not in one["_target_"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parser.get_parsed_content("train#trainer")
