"""Finds the images to predict and the labelled cases to evaluate, with the standard library and numpy only."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

__all__ = ["find_images", "fold_cases", "is_command", "labelled_cases", "stop"]

_NIFTI = (".nii.gz", ".nii")
_ENDINGS = (*_NIFTI, ".nrrd", ".mha", ".mhd", ".dcm")
_CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net's CASE_0000
_NUM_FOLDS, _FOLD_SEED = 5, 12345  # nnU-Net's


def find_images(source: str | os.PathLike[str] | Sequence[Any], *, num_channels: int) -> list[dict[str, Any]]:
    """The images to predict, sorted by name.

    Args:
        source: a NIfTI file; a folder of them, also with one file per channel (CASE_0000.nii.gz) or with an
            `imagesTs`; a folder with a DICOM series, or of such folders; a text file (one path per line) or a JSON file
            (a list) that names any of these; or a list of these. A list in a list is one case, a path per channel.
        num_channels: of the network.

    Returns:
        Items `{"image": path or [path per channel], "name": name of the case}`.

    Raises:
        ValueError: nothing is there, or two cases have the same name.
    """
    items = sorted(_find(source, num_channels), key=lambda item: item["name"])
    if not items:
        stop(f"dataset_dir: no NIfTI image and no DICOM series in {source} or its imagesTs: give a file or a folder")
    for item, following in itertools.pairwise(items):
        if item["name"] == following["name"]:
            stop(f"dataset_dir: {item['image']} and {following['image']} would both become {item['name']}.nii.gz")
    return items


def labelled_cases(dataset_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The labelled cases of a data set in Decathlon's or nnU-Net v2's raw layout, sorted by name.

    Returns:
        Items `{"image": path or [path per channel], "label": path, "name": name of the case}`.

    Raises:
        ValueError: there is no dataset.json, or it names no case.
    """
    folder = Path(dataset_dir)
    try:
        content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        read = _nnunet_cases if {"file_ending", "channel_names"} & set(content) else _decathlon_cases
        cases = sorted(read(folder, content), key=lambda case: case["name"])
    except (OSError, ValueError) as error:
        stop(f"dataset_dir: no data set to read in {dataset_dir}: {error}")
    except (AttributeError, KeyError, TypeError) as error:
        stop(f"dataset_dir: {folder / 'dataset.json'} is neither Decathlon's nor nnU-Net v2's: {error!r}")
    if not cases:
        stop(f"dataset_dir: {folder / 'dataset.json'} names no labelled case")
    return cases


def fold_cases(cases: Sequence[dict[str, Any]], *, fold: int | str) -> list[dict[str, Any]]:
    """The cases that a fold validates on: nnU-Net's five folds over the sorted names, or all cases.

    Raises:
        ValueError: there is no such fold.
    """
    if fold == "all":
        return list(cases)
    if fold not in range(_NUM_FOLDS):
        stop(f"fold must be one of 0 to {_NUM_FOLDS - 1} or all, got {fold}")
    if len(cases) < _NUM_FOLDS:
        stop(f"{len(cases)} cases do not make {_NUM_FOLDS} folds: fold='all' uses all of them")
    order = np.random.RandomState(_FOLD_SEED).permutation(len(cases))
    return [cases[number] for number in np.sort(np.array_split(order, _NUM_FOLDS)[int(fold)])]


def stop(message: str) -> NoReturn:
    """End a command with one line and exit code 1; any other process gets a ValueError."""
    line = " ".join(message.split())
    raise SystemExit(f"error: {line}") if is_command() else ValueError(line)


def is_command() -> bool:
    """Whether this process is `python -m monai.bundle` or `python scripts/predict.py`, not a host such as a server."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).startswith("monai.bundle")
    return Path(getattr(main, "__file__", None) or "").resolve().parent == Path(__file__).resolve().parent


def _find(source: Any, num_channels: int) -> list[dict[str, Any]]:
    """Items of a source, in any order."""
    if not isinstance(source, str | os.PathLike):
        return [item for entry in source for item in _find_entry(entry, num_channels)]
    path = Path(source).expanduser()
    if path.is_dir():
        return _find_in_folder(path, num_channels)
    if not path.is_file():
        stop(f"dataset_dir: no such file or folder: {source}")
    if path.suffix.lower() in (".txt", ".json"):
        return _find(_read_list(path), num_channels)
    return [_item_of_file(path, num_channels)]


def _find_entry(entry: Any, num_channels: int) -> list[dict[str, Any]]:
    """Items of one entry of a list: a path, an item, or the paths of one case's channels."""
    if isinstance(entry, dict):
        entry = entry.get("image")
    if isinstance(entry, list | tuple) and entry:
        name = _stem(entry[0])
        return [{"image": [str(path) for path in entry], "name": _case_of(name) if len(entry) > 1 else name}]
    if not isinstance(entry, str | os.PathLike):
        stop(f"dataset_dir: a list must hold paths, or lists of one path per channel, got {entry!r}")
    return _find(entry, num_channels)


def _find_in_folder(folder: Path, num_channels: int) -> list[dict[str, Any]]:
    for place in (folder / "imagesTs", folder):
        if place.is_dir() and (files := [path for path in _files(place) if path.name.lower().endswith(_NIFTI)]):
            series = _find_series(folder) if place == folder else []
            return _group_channels(files, num_channels) + series
    return _find_series(folder)


def _group_channels(files: Sequence[Path], num_channels: int) -> list[dict[str, Any]]:
    """One item per case: of the files that are named as nnU-Net names a case's channels, else of one file."""
    cases: dict[str, dict[int, Path]] = {}
    for path in files:
        match = _CHANNEL.fullmatch(_stem(path))
        name, number = (match[1], int(match[2])) if match and not _has_channels(path) else (_stem(path), -1)
        cases.setdefault(name, {})[number] = path
    one_file_each = all(len(channels) == 1 for channels in cases.values())  # also where it holds all channels
    items = []
    for name, channels in cases.items():
        if -1 not in channels and 0 in channels and max(channels) < num_channels:
            items.append(_item_of_channels(name, channels[0], 1 if one_file_each else num_channels))
        else:
            items += [{"image": str(path), "name": _stem(path)} for path in channels.values()]
    return items


def _has_channels(path: Path) -> bool:
    """Whether a NIfTI file has a fourth axis, as the Decathlon's with several channels have."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path) as file:
            header = file.read(42)
    except (OSError, EOFError):
        return False
    return len(header) == 42 and 4 in (header[40], header[41])  # the number of axes, in either byte order


def _item_of_file(path: Path, num_channels: int) -> dict[str, Any]:
    """The file's case; with the files of its other channels where there are any."""
    match = _CHANNEL.fullmatch(_stem(path))
    if match is None or int(match[2]) >= num_channels:
        return {"image": str(path), "name": _stem(path)}
    item = _item_of_channels(match[1], path, num_channels)
    others = [other for other in item["image"] if other != str(path)] if num_channels > 1 else []
    return item if any(map(os.path.isfile, others)) else {"image": str(path), "name": match[1]}


def _item_of_channels(name: str, path: Path, num_channels: int) -> dict[str, Any]:
    """The case's item, with one path per channel; `path` is any of them."""
    ending = path.name[len(_stem(path)) :]
    channels = [str(path.with_name(f"{name}_{number:04d}{ending}")) for number in range(num_channels)]
    return {"image": channels if num_channels > 1 else channels[0], "name": name}


def _find_series(folder: Path) -> list[dict[str, Any]]:
    """One item per folder with DICOM files, at any depth; named by its path."""
    items = []
    for place, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(map(_is_dicom, _files(Path(place)))):
            name = "_".join(Path(place).relative_to(folder).parts) or folder.resolve().name
            items.append({"image": place, "name": name})
    return items


def _is_dicom(path: Path) -> bool:
    if path.name == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _files(folder: Path) -> list[Path]:
    """Its files; hidden ones (as the ._ of macOS) are nobody's images."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _read_list(path: Path) -> list[Any]:
    """The entries of a text or JSON file; relative paths are relative to it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".txt":
        lines = (line.strip() for line in text.splitlines())
        return [str(path.parent / line) for line in lines if line and not line.startswith("#")]
    try:
        entries = json.loads(text)
    except ValueError as error:
        stop(f"dataset_dir: {path} is no JSON: {error}")
    if not isinstance(entries, list):
        stop(f"dataset_dir: {path} must hold a list of paths")
    return [_map_paths(entry, lambda name: str(path.parent / name)) for entry in entries]


def _map_paths(entry: Any, function: Callable[[str], str]) -> Any:
    if isinstance(entry, dict):
        entry = entry.get("image")
    if isinstance(entry, list):
        return [_map_paths(part, function) for part in entry]
    return function(entry) if isinstance(entry, str) else entry


def _decathlon_cases(folder: Path, content: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for case in content["training"]:
        image, label = (str(folder / case[key]) for key in ("image", "label"))
        yield {"image": image, "label": label, "name": _stem(image)}


def _nnunet_cases(folder: Path, content: dict[str, Any]) -> Iterable[dict[str, Any]]:
    ending = content.get("file_ending", ".nii.gz")
    num_channels = len(content.get("channel_names") or content.get("modality") or [""])
    listed = content.get("dataset")
    if listed is None:
        names = [path.name.removesuffix(ending) for path in _files(folder / "labelsTr") if path.name.endswith(ending)]
        numbers = [f"{number:04d}{ending}" for number in range(num_channels)]
        listed = {
            name: {"images": [f"imagesTr/{name}_{number}" for number in numbers], "label": f"labelsTr/{name}{ending}"}
            for name in names
        }
    for name, case in listed.items():
        images = [str(folder / os.path.expandvars(path)) for path in case["images"]]
        label = str(folder / os.path.expandvars(case["label"]))
        yield {"image": images if len(images) > 1 else images[0], "label": label, "name": name}


def _stem(path: str | os.PathLike[str]) -> str:
    """The file's name without the ending of an image file; dots in between stay."""
    name = Path(path).name
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def _case_of(name: str) -> str:
    match = _CHANNEL.fullmatch(name)
    return match[1] if match else name
