"""Reads a folder in the layout of nnU-Net v2's raw data: one file per channel, labels by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.faults import Report, refuse
from monai_patchgrow.data.tasks.task import (
    JSON,
    Case,
    DecathlonTask,
    check_labels,
    check_numbers,
    parse_classes,
    parse_names,
)
from monai_patchgrow.label_classes import LabelClasses

__all__ = ["is_nnunet_raw", "read_nnunet_raw"]

_FILE_ENDINGS = (".nii.gz", ".nii")
_CHANNEL_DIGITS = 4  # of the number between a case's name and the file ending: CASE_0000.nii.gz


def is_nnunet_raw(content: Any) -> bool:
    """Whether a dataset.json is nnU-Net v2's; Decathlon's has neither key.

    >>> is_nnunet_raw({"channel_names": {"0": "CT"}}), is_nnunet_raw({"modality": {"0": "CT"}, "training": []})
    (True, False)
    """
    return isinstance(content, dict) and ("file_ending" in content or "channel_names" in content)


def read_nnunet_raw(folder: Path, content: dict[str, Any], report: Report = refuse) -> DecathlonTask:
    """The task of a folder with such a dataset.json; cases are named without the channel, as nnU-Net does.

    Source: nnU-Net v2's documentation, "dataset_format".

    Args:
        folder: of dataset.json.
        content: of dataset.json.
        report: is told every fault; what is faulty isn't in the task.

    Raises:
        DataError: a key or file is missing or malformed, or the files are other than NIfTI.
    """
    names = "modality" if "modality" in content and "channel_names" not in content else "channel_names"
    for key in (names, "labels", "file_ending"):
        if key not in content:
            what = f'no "{key}" in it; needed are "channel_names", "labels" and "file_ending"'
            raise DataError(f"{folder / JSON}: {what}", rule="json-key")
    if (ending := _dotted(content["file_ending"])) not in _FILE_ENDINGS:
        what = f'"file_ending" is {ending!r}: only .nii.gz and .nii are read; convert the images'
        report("file-ending", folder / JSON, what)
    channels = tuple(parse_names(folder, content, names, report).values())
    classes = parse_classes(folder, content, report)
    classes = LabelClasses(_parse_labels(folder, content["labels"], report)) if classes is None else classes
    if "dataset" in content:
        cases = _parse_dataset(folder, content["dataset"], channels, report)
    else:
        cases = _find_cases(folder, ending, channels, report)
    count = content.get("numTraining", len(cases))
    if str(count) != str(len(cases)):
        what = f'"numTraining" is {count}, but there are {len(cases)} cases: is one missing?'
        report("case-count", folder / JSON, what)
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    told = classes.names, ordered, classes.regions, classes.regions_class_order
    return DecathlonTask(str(content.get("name", folder.name)), channels, *told)


def _dotted(ending: Any) -> str:
    """A file ending with its dot, without which some write it."""
    return "." + str(ending).removeprefix(".")


def _parse_labels(folder: Path, labels: Any, report: Report) -> dict[int, str]:
    """Names by value, none where there is a fault; nnU-Net has values by name."""
    if not isinstance(labels, dict):
        report("json-key", folder / JSON, '"labels" must map names to values, such as {"background": 0}')
        return {}
    for value in labels.values():
        if not isinstance(value, int) or isinstance(value, bool):
            what = f'"labels" must map names to values, such as {{"background": 0}}, got {value!r}'
            report("json-key", folder / JSON, what)
            return {}
    if not check_numbers(folder, "labels", sorted(labels.values()), report):
        return {}
    names = dict(sorted((value, name) for name, value in labels.items()))
    check_labels(folder, names, report)
    return names


def _find_cases(folder: Path, ending: str, channels: tuple[str, ...], report: Report) -> list[Case]:
    """The cases of imagesTr and labelsTr that are whole; all must be."""
    images, labels = (_list_files(folder / name, ending, report) for name in ("imagesTr", "labelsTr"))
    found: dict[str, set[int]] = {name: set() for name in labels}
    for stem in images:
        match = re.fullmatch(rf"(.+)_(\d{{{_CHANNEL_DIGITS}}})", stem)
        if match is None:
            path = folder / "imagesTr" / (stem + ending)
            report("channel-unnamed", path, f"no channel in its name, as in CASE_0000{ending}")
            continue
        found.setdefault(match[1], set()).add(int(match[2]))
    for name, numbers in found.items():
        if channels and (extra := sorted(numbers - set(range(len(channels))))):
            what = f"case {name} has channel {extra[0]}, dataset.json names 0 to {len(channels) - 1}"
            report("channel-extra", _channel_path(folder, name, extra[0], ending), what)
    if not found and (folder / "imagesTr").is_dir():
        report("image-missing", folder / "imagesTr", f"no images that end with {ending}")
    cases = []
    for name in sorted(found):
        files = [_channel_path(folder, name, number, ending) for number in range(len(channels))]
        cases.append(_make_case(name, files, folder / "labelsTr" / (name + ending), channels, report))
    return [case for case in cases if case is not None]


def _parse_dataset(folder: Path, dataset: Any, channels: tuple[str, ...], report: Report) -> list[Case]:
    """The cases of the key "dataset", whose files may lie anywhere."""
    if not isinstance(dataset, dict) or not dataset:
        report("json-key", folder / JSON, '"dataset" must map case names to {"images": [...], "label": ...}')
        return []
    cases = [_parse_entry(folder, name, entry, channels, report) for name, entry in dataset.items()]
    return [case for case in cases if case is not None]


def _parse_entry(folder: Path, name: str, entry: Any, channels: tuple[str, ...], report: Report) -> Case | None:
    files = entry.get("images") if isinstance(entry, dict) else None
    if not isinstance(files, list) or not isinstance(entry.get("label"), str):
        what = f'"dataset" has no "images" (a list) and "label" for case {name}: {entry}'
        report("case-entry", folder / JSON, what)
        return None
    if channels and len(files) != len(channels):
        what = f'"dataset" names {len(files)} images for case {name}, one per channel are needed'
        report("channel-missing", folder / JSON, what)
        return None
    for file in (*files, entry["label"]):
        # nnU-Net expands it; here whoever wrote a dataset.json is not told what the environment holds.
        if "$" in str(file) and not (folder / str(file)).is_file():
            fault = "variables of the environment are not expanded, write the path out"
            report(
                "path-variable", folder / JSON, f'"dataset" names {file!r} for case {name}, which is no file: {fault}'
            )
            return None
    *paths, label = (folder / str(file) for file in (*files, entry["label"]))
    return _make_case(name, paths, label, channels, report)


def _make_case(name: str, images: list[Path], label: Path, channels: tuple[str, ...], report: Report) -> Case | None:
    """The case; None where a file is missing, or the channels aren't known."""
    missing = [(path, channel) for path, channel in zip(images, channels, strict=False) if not path.is_file()]
    for path, channel in missing:
        report("channel-missing", path, f"no such file, the channel {channel} of case {name}")
    if not label.is_file():
        report("label-missing", label, f"no such file, the label of case {name}")
    if missing or not images or not label.is_file():
        return None
    return Case(name, images[0] if len(images) == 1 else tuple(images), label)


def _list_files(folder: Path, ending: str, report: Report) -> list[str]:
    """Names without the ending of the files that have it; hidden ones are nobody's images."""
    if not folder.is_dir():
        report("folder-missing", folder, "no such folder; needed are dataset.json, imagesTr and labelsTr")
        return []
    names = (path.name for path in folder.iterdir())
    return [name.removesuffix(ending) for name in names if name.endswith(ending) and not name.startswith(".")]


def _channel_path(folder: Path, name: str, number: int, ending: str) -> Path:
    return folder / "imagesTr" / f"{name}_{number:0{_CHANNEL_DIGITS}d}{ending}"
