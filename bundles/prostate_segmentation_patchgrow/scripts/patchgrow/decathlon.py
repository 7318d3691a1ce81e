"""Reads a task: the dataset.json of a folder in Decathlon layout, or in that of nnU-Net v2's raw data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import DataError
from .nnunet_raw import is_nnunet_raw, read_nnunet_raw
from .task import Case, DecathlonTask, json_error, parse_names, read_json

__all__ = ["read_task"]


def read_task(dataset_dir: str | os.PathLike[str]) -> DecathlonTask:
    """Read the dataset.json of a folder in Medical Segmentation Decathlon layout (arXiv 1902.09063) or nnU-Net's.

    Which of them it is, dataset.json tells: nnU-Net v2's has a "file_ending", or "channel_names". That of nnU-Net v1 is
    the Decathlon's, but the files are named with their channel: CASE.nii.gz stands for CASE_0000.nii.gz and so on.

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
    cases = _parse_cases(folder, content["training"], num_channels=len(channels))
    return DecathlonTask(str(content.get("name", folder.name)), tuple(channels.values()), labels, cases)


def _parse_cases(folder: Path, entries: Any, *, num_channels: int) -> tuple[Case, ...]:
    if not isinstance(entries, list) or not entries:
        raise json_error(folder, '"training" must be a list of at least one {"image": ..., "label": ...}')
    cases: dict[str, Case] = {}
    for number, entry in enumerate(entries):
        case = _parse_case(folder, entry, number, num_channels)
        if case.name in cases:
            raise json_error(folder, f'"training" lists case {case.name} twice: keep one')
        cases[case.name] = case
    return tuple(cases[name] for name in sorted(cases))


def _parse_case(folder: Path, entry: object, number: int, num_channels: int) -> Case:
    paths = {}
    for key in ("image", "label"):
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise json_error(folder, f'"training" entry {number} has no "{key}": {entry}')
        paths[key] = folder / entry[key]
    image, label = paths["image"], paths["label"]
    channels = () if image.is_file() else _channels_of(image, num_channels)
    if not image.is_file() and not channels:
        raise DataError(f"{image}: image named in dataset.json, but there is no such file")
    if not label.is_file():
        raise DataError(f"{label}: label named in dataset.json, but there is no such file")
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    return Case(name, channels if len(channels) > 1 else (*channels, image)[0], label)


def _channels_of(image: Path, num_channels: int) -> tuple[Path, ...]:
    """The files of an image's channels as nnU-Net v1 names them; none where there is none of them."""
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    ending = image.name[len(name) :]
    files = [image.with_name(f"{name}_{number:04d}{ending}") for number in range(num_channels)]
    missing = [file for file in files if not file.is_file()]
    if 0 < len(missing) < num_channels:
        raise DataError(f"{missing[0]}: no such file, a channel of the case {name} in nnU-Net v1's layout")
    return () if missing else tuple(files)
