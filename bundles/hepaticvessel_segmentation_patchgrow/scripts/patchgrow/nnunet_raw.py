"""Reads a folder in the layout of nnU-Net v2's raw data: one file per channel, labels by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .errors import DataError
from .task import Case, DecathlonTask, check_numbers, json_error, parse_names

__all__ = ["is_nnunet_raw", "read_nnunet_raw"]

_FILE_ENDINGS = (".nii.gz", ".nii")
_CHANNEL_DIGITS = 4  # of the number between a case's name and the file ending: CASE_0000.nii.gz


def is_nnunet_raw(content: Any) -> bool:
    """Whether a dataset.json is nnU-Net v2's; Decathlon's has neither key.

    >>> is_nnunet_raw({"channel_names": {"0": "CT"}}), is_nnunet_raw({"modality": {"0": "CT"}, "training": []})
    (True, False)
    """
    return isinstance(content, dict) and ("file_ending" in content or "channel_names" in content)


def read_nnunet_raw(folder: Path, content: dict[str, Any]) -> DecathlonTask:
    """The task of a folder with such a dataset.json; cases are named without the channel, as nnU-Net does.

    Source: nnU-Net v2's documentation, "dataset_format".

    Raises:
        DataError: a key or file is missing or malformed; regions, an ignore label, or files other than NIfTI.
    """
    names = "modality" if "modality" in content and "channel_names" not in content else "channel_names"
    for key in (names, "labels", "file_ending"):
        if key not in content:
            raise json_error(folder, f'no "{key}" in it; needed are "channel_names", "labels" and "file_ending"')
    if (ending := _dotted(content["file_ending"])) not in _FILE_ENDINGS:
        raise json_error(folder, f'"file_ending" is {ending!r}: only .nii.gz and .nii are read; convert the images')
    channels = tuple(parse_names(folder, content, names).values())
    labels = _parse_labels(folder, content["labels"])
    if "dataset" in content:
        cases = _parse_dataset(folder, content["dataset"], channels)
    else:
        cases = _find_cases(folder, ending, channels)
    count = content.get("numTraining", len(cases))
    if str(count) != str(len(cases)):
        raise json_error(folder, f'"numTraining" is {count}, but there are {len(cases)} cases: is one missing?')
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    return DecathlonTask(str(content.get("name", folder.name)), channels, labels, ordered)


def _dotted(ending: Any) -> str:
    """A file ending with its dot, without which some write it."""
    return "." + str(ending).removeprefix(".")


def _parse_labels(folder: Path, labels: Any) -> dict[int, str]:
    """Names by value; nnU-Net has values by name."""
    if not isinstance(labels, dict):
        raise json_error(folder, '"labels" must map names to values, such as {"background": 0}')
    if "ignore" in labels:
        raise json_error(folder, '"labels" has "ignore": voxels without a label are not supported; label them')
    for name, value in labels.items():
        if isinstance(value, list):
            raise json_error(folder, f'"labels" has a region, {name}: {value}; only one value per name is supported')
        if not isinstance(value, int) or isinstance(value, bool):
            raise json_error(folder, f'"labels" must map names to values, such as {{"background": 0}}, got {value!r}')
    check_numbers(folder, "labels", sorted(labels.values()))
    return dict(sorted((value, name) for name, value in labels.items()))


def _find_cases(folder: Path, ending: str, channels: tuple[str, ...]) -> list[Case]:
    """The cases of imagesTr and labelsTr; each must be whole."""
    images, labels = (_list_files(folder / name, ending) for name in ("imagesTr", "labelsTr"))
    found: dict[str, set[int]] = {name: set() for name in labels}
    for stem in images:
        match = re.fullmatch(rf"(.+)_(\d{{{_CHANNEL_DIGITS}}})", stem)
        if match is None:
            raise DataError(f"{folder / 'imagesTr' / (stem + ending)}: no channel in its name, as in CASE_0000{ending}")
        found.setdefault(match[1], set()).add(int(match[2]))
    for name, numbers in found.items():
        if extra := sorted(numbers - set(range(len(channels)))):
            path = _channel_path(folder, name, extra[0], ending)
            raise DataError(f"{path}: case {name} has channel {extra[0]}, dataset.json names 0 to {len(channels) - 1}")
    if not found:
        raise DataError(f"{folder / 'imagesTr'}: no images that end with {ending}")
    cases = []
    for name in sorted(found):
        files = [_channel_path(folder, name, number, ending) for number in range(len(channels))]
        cases.append(_make_case(name, files, folder / "labelsTr" / (name + ending), channels))
    return cases


def _parse_dataset(folder: Path, dataset: Any, channels: tuple[str, ...]) -> list[Case]:
    """The cases of the key "dataset", whose files may lie anywhere."""
    if not isinstance(dataset, dict) or not dataset:
        raise json_error(folder, '"dataset" must map case names to {"images": [...], "label": ...}')
    cases = []
    for name, entry in dataset.items():
        files = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(files, list) or not isinstance(entry.get("label"), str):
            raise json_error(folder, f'"dataset" has no "images" (a list) and "label" for case {name}: {entry}')
        if len(files) != len(channels):
            raise json_error(folder, f'"dataset" names {len(files)} images for case {name}, one per channel are needed')
        for file in (*files, entry["label"]):
            # nnU-Net expands it; here whoever wrote a dataset.json is not told what the environment holds.
            if "$" in str(file) and not (folder / str(file)).is_file():
                fault = "variables of the environment are not expanded, write the path out"
                raise json_error(folder, f'"dataset" names {file!r} for case {name}, which is no file: {fault}')
        *paths, label = (folder / str(file) for file in (*files, entry["label"]))
        cases.append(_make_case(name, paths, label, channels))
    return cases


def _make_case(name: str, images: list[Path], label: Path, channels: tuple[str, ...]) -> Case:
    for path, channel in zip(images, channels, strict=True):
        if not path.is_file():
            raise DataError(f"{path}: no such file, the channel {channel} of case {name}")
    if not label.is_file():
        raise DataError(f"{label}: no such file, the label of case {name}")
    return Case(name, images[0] if len(images) == 1 else tuple(images), label)


def _list_files(folder: Path, ending: str) -> list[str]:
    """Names without the ending of the files that have it; hidden ones are nobody's images."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; needed are dataset.json, imagesTr and labelsTr")
    names = (path.name for path in folder.iterdir())
    return [name.removesuffix(ending) for name in names if name.endswith(ending) and not name.startswith(".")]


def _channel_path(folder: Path, name: str, number: int, ending: str) -> Path:
    return folder / "imagesTr" / f"{name}_{number:0{_CHANNEL_DIGITS}d}{ending}"
