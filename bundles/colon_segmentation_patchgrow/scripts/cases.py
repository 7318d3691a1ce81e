"""Finds the images to predict, with the standard library only."""

from __future__ import annotations

import gzip
import itertools
import os
import re
import runpy
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["find_images"]

_NIFTI = (".nii.gz", ".nii")
_ENDINGS = (*_NIFTI, ".nrrd", ".mha", ".mhd", ".dcm")
_OTHER_FORMATS = (
    *(
        ".nrrd",
        ".nhdr",
        ".mha",
        ".mhd",
        ".img",
        ".hdr",
        ".mgz",
        ".mgh",
        ".mgh.gz",
        ".mnc",
        ".gipl",
        ".nii.bz2",
        ".nii.zst",
    ),
    *(".dcm.gz", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".npz", ".h5", ".zip"),
)
_LABEL_FOLDERS = {"labelsTr", "labelsTs"}
_SHOWN = 5  # of a list of files, in a message
_CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net's CASE_0000

_COMMAND = runpy.run_path(str(Path(__file__).with_name("command.py")))
stop, warn = _COMMAND["stop"], _COMMAND["warn"]
read_list = runpy.run_path(str(Path(__file__).with_name("path_lists.py")))["read_list"]


def find_images(source: str | os.PathLike[str] | Sequence[Any], *, num_channels: int) -> list[dict[str, Any]]:
    """The images to predict, sorted by name.

    Args:
        source: a NIfTI file; a folder of them, also with one file per channel (CASE_0000.nii.gz) or with an
            `imagesTs`; a folder with a DICOM series, or of such folders; a text file (one path per line) or a JSON file
            (a list) that names any of these; or a list of these. A list in a list is one case, a path per channel.
        num_channels: of the network.

    Returns:
        Items `{"image": path or [path per channel], "name": name of the case}`.

    What looks like an image and is none of them is named in a warning.

    Raises:
        ValueError: nothing is there, two cases have the same name, or a list names some of a series' slices.
    """
    items = sorted(_find(source, num_channels), key=lambda item: item["name"])
    if not items:
        stop(f"dataset_dir: no NIfTI image and no DICOM series in {source} or its imagesTs: give a file or a folder")
    for item, following in itertools.pairwise(items):
        if item["name"] == following["name"]:
            stop(f"dataset_dir: {item['image']} and {following['image']} would both become {item['name']}.nii.gz")
    return items


def _find(source: Any, num_channels: int) -> list[dict[str, Any]]:
    """Items of a source, in any order."""
    if not isinstance(source, str | os.PathLike):
        return [item for entry in _join_slices(source) for item in _find_entry(entry, num_channels)]
    path = Path(source).expanduser()
    if path.is_dir():
        return _find_in_folder(path, num_channels)
    if not path.is_file():
        stop(f"dataset_dir: no such file or folder: {source}")
    if path.suffix.lower() in (".txt", ".json"):
        return _find(read_list(path), num_channels)
    return [_item_of_file(path, num_channels)]


def _find_entry(entry: Any, num_channels: int) -> list[dict[str, Any]]:
    """Items of one entry of a list: a path, an item, or the paths of one case's channels."""
    if isinstance(entry, dict):
        entry = entry.get("image")
    if isinstance(entry, list | tuple) and entry:
        name = _stem(entry[0]) if len(entry) == 1 else _case_of(_stem(entry[0]))
        if len(entry) > 1 and all(map(_is_dicom, map(Path, entry))):
            name = Path(entry[0]).resolve().parent.name  # the slices of a series
        return [{"image": [str(path) for path in entry], "name": name}]
    if not isinstance(entry, str | os.PathLike):
        stop(f"dataset_dir: a list must hold paths, or lists of one path per channel, got {entry!r}")
    return _find(entry, num_channels)


def _join_slices(entries: Sequence[Any]) -> list[Any]:
    """The entries, with the folder of a DICOM series in place of its slices, which a shell's *.dcm names one by one."""
    paths = [Path(entry) for entry in entries if isinstance(entry, str | os.PathLike)]
    slices = [path for path in paths if path.is_file() and _is_dicom(path)]
    joined = list(entries)
    for folder in dict.fromkeys(path.parent for path in slices):
        listed = {path for path in slices if path.parent == folder}
        if len(listed) == 1:
            continue
        if missing := {path for path in _files(folder) if _is_dicom(path)} - listed:
            total = len(missing) + len(listed)
            stop(f"dataset_dir: {len(listed)} of the {total} DICOM files of {folder} are listed: give the folder")
        joined = [entry for entry in joined if not isinstance(entry, str | os.PathLike) or Path(entry) not in listed]
        joined.append(str(folder))
    return joined


def _find_in_folder(folder: Path, num_channels: int) -> list[dict[str, Any]]:
    ts = folder / "imagesTs"
    place = ts if ts.is_dir() and any(map(_is_nifti, _files(ts))) else folder
    files = [path for path in _files(place) if _is_nifti(path)]
    series = _find_series(place)
    left_out = _left_out(place, taken=files)
    if left_out and (files or series):
        warn(f"dataset_dir: left out: {left_out}: give their folder, or convert other formats to NIfTI")
    elif left_out:
        stop(
            f"dataset_dir: no NIfTI image and no DICOM series in {folder}, but there are {left_out}: give their folder"
        )
    return _group_channels(files, num_channels) + series


def _left_out(folder: Path, *, taken: Sequence[Path]) -> str:
    """What looks like an image, at any depth of the folder, and is not taken; empty where nothing is."""
    found = []
    for place in _folders(folder, without=_LABEL_FOLDERS):
        found += [path for path in _files(place) if path.name.lower().endswith((*_NIFTI, *_OTHER_FORMATS))]
    names = [str(path.relative_to(folder)) for path in found if path not in set(taken)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _group_channels(files: Sequence[Path], num_channels: int) -> list[dict[str, Any]]:
    """One item per case: of the files that are named as nnU-Net names a case's channels, else of one file."""
    cases: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        match = _CHANNEL.fullmatch(_stem(path))
        name, number = (match[1], int(match[2])) if match and not _has_channels(path) else (_stem(path), -1)
        cases.setdefault(name, []).append((number, path))
    one_file_each = all(len(channels) == 1 for channels in cases.values())  # also where it holds all channels
    items = []
    for name, channels in cases.items():
        numbers = [number for number, _ in channels]
        is_one_case = len(set(numbers)) == len(numbers) and -1 not in numbers and 0 in numbers
        if is_one_case and max(numbers) < num_channels:
            items.append(_item_of_channels(name, channels[0][1], 1 if one_file_each else num_channels))
        else:
            items += [{"image": str(path), "name": _stem(path)} for _, path in channels]
    return items


def _has_channels(path: Path) -> bool:
    """Whether a NIfTI file has a fourth axis, as the Decathlon's with several channels have."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
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
    for place in _folders(folder):
        if any(map(_is_dicom, _files(place))):
            name = "_".join(place.relative_to(folder).parts) or folder.resolve().name
            items.append({"image": str(place), "name": name})
    return items


def _folders(folder: Path, *, without: Collection[str] = ()) -> Iterator[Path]:
    """The folder and those in it at any depth, links too, each once; hidden ones are nobody's."""
    seen = {folder.resolve()}
    for place, names, _ in os.walk(folder, followlinks=True):
        yield Path(place)
        wanted = [name for name in sorted(names) if not name.startswith(".") and name not in without]
        names[:] = [name for name in wanted if Path(place, name).resolve() not in seen]
        seen.update(Path(place, name).resolve() for name in names)


def _is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does: with its preamble, or at once with an element of group 2 or 8."""
    if path.name == "DICOMDIR" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return True
    group, element, length = struct.unpack("<HHI" if head[1:2] == b"\0" else ">HHI", head[:8].ljust(8, b"\0"))
    has_kind = head[4:6] in (b"UL", b"UI", b"OB", b"CS", b"SH", b"DA", b"TM", b"LO")  # explicit; else a length follows
    return len(head) == 132 and group in (2, 8) and element <= 0x60 and (has_kind or length <= 64)


def _files(folder: Path) -> list[Path]:
    """Its files and the links that lead nowhere; hidden ones (as the ._ of macOS) are nobody's images."""
    found = (path for path in folder.iterdir() if path.is_file() or (path.is_symlink() and not path.exists()))
    return sorted(path for path in found if not path.name.startswith("."))


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(_NIFTI)


def _stem(path: str | os.PathLike[str]) -> str:
    """The file's name without the ending of an image file; dots in between stay."""
    name = Path(path).name
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def _case_of(name: str) -> str:
    match = _CHANNEL.fullmatch(name)
    return match[1] if match else name
