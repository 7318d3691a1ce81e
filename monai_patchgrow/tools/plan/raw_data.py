"""Shows a data set to nnU-Net where it lies: no file of it is copied or linked."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib

from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.nifti_file import read_header
from monai_patchgrow.data.tasks.nnunet_raw import is_nnunet_raw
from monai_patchgrow.data.tasks.task import Case, read_json
from monai_patchgrow.label_classes import IGNORE, LabelClasses

__all__ = ["data_digest", "folder_name", "raw_description", "usual_orientation"]

_BACKGROUND = "background"  # as nnU-Net must have 0 called
_ENDING = ".nii.gz"  # by which nnU-Net chooses how the Decathlon's images are read


def raw_description(data: Path) -> dict[str, Any]:
    """The dataset.json by which nnU-Net reads a folder: that of the folder, and each file by its whole path.

    Args:
        data: folder in the Decathlon's or nnU-Net's layout.

    Raises:
        DataError: dataset.json or a file that it names is missing or malformed.
    """
    task, content = read_task(data), read_json(data)
    cases = {case.name: _paths_of(case) for case in task.cases}
    if is_nnunet_raw(content):
        described = {**content, "file_ending": "." + content["file_ending"].removeprefix(".")}
    else:
        channels = {str(number): name for number, name in enumerate(task.channels)}
        described = {"channel_names": channels, "labels": _labels_of(task.classes)}
        described |= {"regions_class_order": list(task.regions_class_order)} if task.regions else {}
        described["file_ending"] = _ENDING
    return {**described, "numTraining": len(cases), "dataset": cases}


def _labels_of(classes: LabelClasses) -> dict[str, Any]:
    """Values by name, or regions, as nnU-Net has them."""
    if classes.regions:
        return {_BACKGROUND if value == 0 else name: value for name, value in classes.as_config().items()}
    # The planner counts the labels, and the Decathlon's names may stand for two.
    ignored = {} if classes.ignored is None else {IGNORE: classes.ignored}
    return {**{str(value): value for value in range(classes.num_labels)}, **ignored}


def _paths_of(case: Case) -> dict[str, Any]:
    return {"images": [str(path.absolute()) for path in case.images], "label": str(case.label.absolute())}


def data_digest(description: Mapping[str, Any], nnunet_version: str) -> str:
    """A name for what nnU-Net's fingerprint depends on: dataset.json, names, sizes and times of files, its version.

    Args:
        description: as `raw_description` gives it.
        nnunet_version: of nnunetv2.
    """
    cases = {
        name: [_stamp(path) for path in (*files["images"], files["label"])]
        for name, files in description["dataset"].items()
    }
    text = json.dumps([nnunet_version, {**description, "dataset": cases}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _stamp(path: str) -> tuple[str, int, int]:
    status = os.stat(path)
    return os.path.basename(path), status.st_size, status.st_mtime_ns


def folder_name(data: Path) -> str:
    """The name of a data set's folder, with an underscore for each character that a bundle's key can't hold.

    >>> folder_name(Path("/data/my lesions"))
    'my_lesions'
    """
    return re.sub(r"[^\w.+-]|^[.+-]", "_", os.path.basename(os.path.abspath(data))) or "data"


def usual_orientation(images: Sequence[Path]) -> tuple[str, int]:
    """Codes of the axes along which most images are stored, as ``RAS``, and how many of them are.

    Args:
        images: NIfTI files.

    Raises:
        DataError: a file that can't be read.
    """
    codes = Counter("".join(nib.aff2axcodes(read_header(path).affine)) for path in images)
    return codes.most_common(1)[0]
