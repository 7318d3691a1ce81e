"""The data sets of the study, each with a plan narrowed until two CPU cores train a run within minutes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from arms import arm_settings

from monai_patchgrow.data import Case, read_task, split_cases
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.tools.compare.compare import train
from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle, write_bundle
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

__all__ = ["TASKS", "StudyTask", "patient_of", "split_by_patient"]

_ROOT = Path(__file__).parents[2]
_PLANS = _ROOT.parent / "shared" / "reference" / "nnunet_plans"
_COMMON = {
    "batch_size": 2,
    "network_to_train": {
        "_target_": "bfloat16.InBfloat16",
        "network": "@network_on_device",
        "total_stride": "@total_stride",
    },
}


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyTask:
    """One data set and the settings that all of its runs share.

    folder: of the data set, under PATCHGROW_DATA.
    settings: keys of the bundle's train.json that differ from the plan's.
    axis_of_direction: array axis whose mirroring exchanges what tells two classes apart; None where there is none.
    budgets: seconds of training on two quiet cores that runs are planned for, ascending.
    by_patient: whether a patient has several cases, which belong into one fold.
    """

    name: str
    folder: str
    settings: Mapping[str, Any]
    budgets: tuple[int, ...]
    axis_of_direction: int | None = None
    by_patient: bool = False

    @property
    def data(self) -> Path:
        """Folder of the data set."""
        return Path(os.environ.get("PATCHGROW_DATA", _ROOT.parent / "shared" / "data")) / self.folder

    def bundle(self, work: Path) -> Path:
        """Folder of the task's bundle, rendered from nnU-Net's plan into `work` where this repository has none."""
        if self.name == "task04":
            return _ROOT / "bundles" / "hippocampus_segmentation_patchgrow"
        return _rendered(self, work)

    def schedule(self, work: Path, *, max_epochs: int, **arm: Any) -> GrowthSchedule:
        """Plan a run of this task under an arm's settings."""
        config = json.loads((self.bundle(work) / "configs" / "train.json").read_text())
        names = ("patch_size", "total_stride", "batch_size", "axis_order", "curriculum", "full_patch_share")
        keys = {**{name: config[name] for name in names}, **self.settings, **arm}
        smallest = arm.get("smallest_patch")
        return GrowthSchedule.plan(
            max_epochs=max_epochs, smallest_patch=smallest, **{name: keys[name] for name in names}
        )

    def arm(self, name: str, work: Path) -> dict[str, Any]:
        """Keys of train.json that an arm sets."""
        full = self.schedule(work, max_epochs=1, curriculum="constant")
        sizes = {"patch_size": list(full.patch_size), "total_stride": list(full.total_stride)}
        return arm_settings(name, axis_of_direction=self.axis_of_direction, **sizes)

    def train(self, folder: Path, work: Path, **settings: Any) -> None:
        """Train the task's bundle into a folder, with further keys of train.json."""
        train(
            self.bundle(work),
            dataset_dir=self.data,
            output_dir=folder,
            cache_dir=work / "preprocessed" / self.name,
            num_workers=0,
            verify_data=False,
            **{**self.settings, **self.overrides(), **settings},
        )

    def validation_cases(self) -> list[str]:
        """Names of the cases that are validated, in the order in which they are."""
        split = split_by_patient if self.by_patient else _split
        return [Path(item["image"]).name.removesuffix(".nii.gz") for item in split(str(self.data), fold=0)[1]]

    def overrides(self) -> dict[str, Any]:
        """What replaces keys of train.json, besides the settings."""
        if not self.by_patient:
            return {}
        target = f"{Path(__file__).stem}.{split_by_patient.__name__}"
        return {"split": {"_target_": target, "dataset_dir": "@dataset_dir", "fold": "@fold"}}


@cache
def _rendered(task: StudyTask, work: Path) -> Path:
    """Render a task's bundle, unless it lies in `work` as it would be rendered now."""
    folder = work / f"{task.name}_segmentation_patchgrow"
    plans, dataset = _PLANS / f"{task.folder}.json", task.data / "dataset.json"
    plan = read_nnunet_plan(str(plans), str(dataset), configuration="3d_fullres", orientation="RAS")
    files = render_bundle(plan, BundleCard.of(plan))
    if not all((folder / name).is_file() and (folder / name).read_text() == text for name, text in files.items()):
        shutil.rmtree(folder, ignore_errors=True)
        write_bundle(files, str(folder))
    return folder


def patient_of(case: str) -> str:
    """Return the patient of a case of ACDC.

    >>> patient_of("patient001_frame02")
    'patient001'
    """
    return case.partition("_")[0]


def split_by_patient(dataset_dir: str, *, fold: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split a data set as nnU-Net splits its patients: all cases of a patient are on one side."""
    cases = read_task(dataset_dir).cases
    return _items(*split_cases(cases, fold=fold, patients={case.name: patient_of(case.name) for case in cases}))


def _split(dataset_dir: str, *, fold: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return _items(*split_cases(read_task(dataset_dir).cases, fold=fold))


def _items(*sides: Sequence[Case]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    training, validation = ([case.as_item() for case in side] for side in sides)
    return training, validation


TASKS = {
    task.name: task
    for task in (
        StudyTask(
            name="task04",
            folder="Task04_Hippocampus",
            settings={**_COMMON, "features": [16, 32, 64, 128]},
            budgets=(115, 230, 460),
            axis_of_direction=1,
        ),
        StudyTask(
            name="bonbid",
            folder="BONBID_HIE",
            settings={**_COMMON, "features": [16, 32, 64, 128, 160]},
            budgets=(230, 460),
        ),
        StudyTask(
            name="acdc",
            folder="ACDC",
            # Half of the plan's resolution in the plane, and one level less.
            settings={
                **_COMMON,
                "features": [8, 16, 32, 64, 80],
                "spacing": [3.125, 3.125, 5.0],
                "patch_size": [112, 128, 20],
                "total_stride": [16, 16, 4],
                "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1]],
                "kernel_sizes": [[3, 3, 1], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
            },
            budgets=(230, 460),
            axis_of_direction=0,
            by_patient=True,
        ),
    )
}
