"""Reads a task: the dataset.json of a folder in Decathlon layout, or in that of nnU-Net v2's raw data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.faults import Report, refuse
from monai_patchgrow.data.tasks.nnunet_raw import is_nnunet_raw, read_nnunet_raw
from monai_patchgrow.data.tasks.task import JSON, Case, DecathlonTask, parse_classes, parse_names, read_json
from monai_patchgrow.label_classes import LabelClasses

__all__ = ["read_task"]

_KEYS = ("modality", "labels", "training")


def read_task(dataset_dir: str | os.PathLike[str], *, report: Report = refuse) -> DecathlonTask:
    """Read the dataset.json of a folder in Medical Segmentation Decathlon layout (arXiv 1902.09063) or nnU-Net's.

    Which of them it is, dataset.json tells: nnU-Net v2's has a "file_ending", or "channel_names". That of nnU-Net v1 is
    the Decathlon's, but the files are named with their channel: CASE.nii.gz stands for CASE_0000.nii.gz and so on.
    Regions and a label to ignore are written as in nnU-Net v2's dataset.json, in either layout.

    Args:
        dataset_dir: the folder.
        report: is told every fault; what is faulty isn't in the task. Default: the first one is raised.

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
        return read_nnunet_raw(folder, content, report)
    for key in _KEYS:
        if not isinstance(content, dict) or key not in content:
            what = f'no "{key}" in it; needed are "modality", "labels" and "training"'
            raise DataError(f"{folder / JSON}: {what}", rule="json-key")
    channels = parse_names(folder, content, "modality", report)
    classes = parse_classes(folder, content, report)
    classes = LabelClasses(parse_names(folder, content, "labels", report)) if classes is None else classes
    cases = _parse_cases(folder, content["training"], len(channels), report)
    count = content.get("numTraining", len(cases))
    if isinstance(content["training"], list) and str(count) != str(len(content["training"])):
        what = f'"numTraining" is {count}, but "training" lists {len(content["training"])}'
        report("entry-count", folder / JSON, what)
    told = classes.names, cases, classes.regions, classes.regions_class_order
    return DecathlonTask(str(content.get("name", folder.name)), tuple(channels.values()), *told)


def _parse_cases(folder: Path, entries: Any, num_channels: int, report: Report) -> tuple[Case, ...]:
    if not isinstance(entries, list) or not entries:
        report("case-entry", folder / JSON, '"training" must be a list of at least one {"image": ..., "label": ...}')
        return ()
    cases: dict[str, Case] = {}
    for number, entry in enumerate(entries):
        case = _parse_case(folder, entry, number, num_channels, report)
        if case is None:
            continue
        if case.name in cases:
            report("case-twice", folder / JSON, f'"training" lists case {case.name} twice: keep one')
        cases.setdefault(case.name, case)
    return tuple(cases[name] for name in sorted(cases))


def _parse_case(folder: Path, entry: object, number: int, num_channels: int, report: Report) -> Case | None:
    """The case of an entry; None where a file of it is missing."""
    paths = {}
    for key in ("image", "label"):
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            report("case-entry", folder / JSON, f'"training" entry {number} has no "{key}": {entry}')
            return None
        paths[key] = folder / entry[key]
    image, label = paths["image"], paths["label"]
    files = (image,) if image.is_file() else _channels_of(image, num_channels, report)
    if files == ():
        report("image-missing", image, "image named in dataset.json, but there is no such file")
    if not label.is_file():
        report("label-missing", label, "label named in dataset.json, but there is no such file")
    if not files or not label.is_file():
        return None
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    return Case(name, files if len(files) > 1 else files[0], label)


def _channels_of(image: Path, num_channels: int, report: Report) -> tuple[Path, ...] | None:
    """The files of an image's channels as nnU-Net v1 names them; empty where there is none, None where one lacks."""
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    ending = image.name[len(name) :]
    files = [image.with_name(f"{name}_{number:04d}{ending}") for number in range(num_channels)]
    missing = [file for file in files if not file.is_file()]
    if 0 < len(missing) < num_channels:
        report("channel-missing", missing[0], f"no such file, a channel of the case {name} in nnU-Net v1's layout")
        return None
    return () if missing else tuple(files)
