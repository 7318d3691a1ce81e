"""Reads a task: the dataset.json of a folder in Decathlon layout, or in that of nnU-Net v2's raw data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.nnunet_raw import is_nnunet_raw, read_nnunet_raw
from monai_patchgrow.data.tasks.task import Case, DecathlonTask, json_error, parse_names, read_json

__all__ = ["read_task"]


def read_task(dataset_dir: str | os.PathLike[str]) -> DecathlonTask:
    """Read the dataset.json of a folder in Medical Segmentation Decathlon layout (arXiv 1902.09063) or nnU-Net's.

    Which of the two it is, dataset.json tells: nnU-Net v2's has a "file_ending", or "channel_names".

    Raises:
        DataError: the folder, dataset.json, one of its keys or a file that it names is missing or malformed.

    Example:
        >>> read_task("no/such/folder")
        Traceback (most recent call last):
        ...
        monai_patchgrow.data.errors.DataError: no/such/folder: no such folder
    """
    folder = Path(dataset_dir)
    content = read_json(folder)
    if is_nnunet_raw(content):
        return read_nnunet_raw(folder, content)
    for key in ("modality", "labels", "training"):
        if not isinstance(content, dict) or key not in content:
            raise json_error(folder, f'no "{key}" in it; needed are "modality", "labels" and "training"')
    channels = parse_names(folder, content, "modality")
    labels = parse_names(folder, content, "labels")
    cases = _parse_cases(folder, content["training"])
    return DecathlonTask(str(content.get("name", folder.name)), tuple(channels.values()), labels, cases)


def _parse_cases(folder: Path, entries: Any) -> tuple[Case, ...]:
    if not isinstance(entries, list) or not entries:
        raise json_error(folder, '"training" must be a list of at least one {"image": ..., "label": ...}')
    cases: dict[str, Case] = {}
    for number, entry in enumerate(entries):
        case = _parse_case(folder, entry, number)
        if case.name in cases:
            raise json_error(folder, f'"training" lists case {case.name} twice: keep one')
        cases[case.name] = case
    return tuple(cases[name] for name in sorted(cases))


def _parse_case(folder: Path, entry: object, number: int) -> Case:
    paths = {}
    for key in ("image", "label"):
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise json_error(folder, f'"training" entry {number} has no "{key}": {entry}')
        paths[key] = folder / entry[key]
        if not paths[key].is_file():
            raise DataError(f"{paths[key]}: {key} named in dataset.json, but there is no such file")
    name = paths["image"].name.removesuffix(".gz").removesuffix(".nii")
    return Case(name, paths["image"], paths["label"])
