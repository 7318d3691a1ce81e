"""Decathlon folders: the cases that dataset.json names, their folds, and whether their files are sound."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError
from tqdm import tqdm

__all__ = ["Case", "DataError", "DecathlonTask", "read_task", "split_cases", "verify_cases"]

AFFINE_TOLERANCE_MM = 1e-3  # per entry of the two matrices: more than rounding, less than another grid
_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
_BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, OverflowError, zlib.error)
_BROKEN += (ImageFileError, HeaderDataError, ImageDataError, WrapStructError)


class DataError(ValueError):
    """A data set that cannot be used as it is: one line that names the file or key, and what would work."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


@dataclass(frozen=True)
class Case:
    """One image with its label, both NIfTI files."""

    name: str
    image: Path
    label: Path

    def as_item(self) -> dict[str, str]:
        """The case as MONAI's dictionary transforms take it.

        Example:
            >>> Case("scan_1", Path("imagesTr/scan_1.nii.gz"), Path("labelsTr/scan_1.nii.gz")).as_item()
            {'image': 'imagesTr/scan_1.nii.gz', 'label': 'labelsTr/scan_1.nii.gz'}
        """
        return {"image": str(self.image), "label": str(self.label)}


@dataclass(frozen=True)
class DecathlonTask:
    """What a dataset.json says: channels in order, names of label values (0: background), cases by name."""

    name: str
    channels: tuple[str, ...]
    labels: Mapping[int, str] = field(hash=False)
    cases: tuple[Case, ...]


def read_task(dataset_dir: str | os.PathLike[str]) -> DecathlonTask:
    """Read the dataset.json of a folder in Medical Segmentation Decathlon layout (arXiv 1902.09063).

    Raises:
        DataError: the folder, dataset.json, one of its keys or a file that it names is missing or malformed.

    Example:
        >>> read_task("no/such/folder")
        Traceback (most recent call last):
        ...
        monai_patchgrow.data.decathlon.DataError: no/such/folder: no such folder
    """
    folder = Path(dataset_dir)
    content = _read_json(folder)
    channels = _parse_names(folder, content, "modality")
    labels = _parse_names(folder, content, "labels")
    entries = content["training"]
    if not isinstance(entries, list) or not entries:
        raise _json_error(folder, '"training" must be a list of at least one {"image": ..., "label": ...}')
    cases: dict[str, Case] = {}
    for number, entry in enumerate(entries):
        case = _parse_case(folder, entry, number)
        if case.name in cases:
            raise _json_error(folder, f'"training" lists case {case.name} twice: keep one')
        cases[case.name] = case
    ordered = tuple(cases[name] for name in sorted(cases))
    return DecathlonTask(str(content.get("name", folder.name)), tuple(channels.values()), labels, ordered)


def split_cases(
    cases: Sequence[Case], *, fold: int | Literal["all"], num_folds: int = 5, seed: int = 12345
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Split cases into those to train on and those to validate on, both sorted by name, as nnU-Net does.

    The folds are those of scikit-learn's `KFold(5, shuffle=True, random_state=12345)` over the sorted names.

    Args:
        cases: in any order.
        fold: from 0; `"all"` trains on all cases and validates on all of them.
        num_folds: at least 2.
        seed: of the shuffle.

    Raises:
        ValueError: there is no such fold, or there are fewer cases than folds.

    Example:
        >>> train, validation = split_cases([Case(n, Path(n), Path(n)) for n in "abcdefg"], fold=0)
        >>> [case.name for case in validation]
        ['d', 'g']
    """
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    if fold == "all":
        return ordered, ordered
    if num_folds < 2 or len(ordered) < num_folds:
        raise ValueError(f"{len(ordered)} cases do not make {num_folds} folds: fold='all' uses all of them")
    if fold not in range(num_folds):
        raise ValueError(f"fold must be one of 0 to {num_folds - 1} or 'all', got {fold!r}")
    order = np.random.RandomState(seed).permutation(len(ordered))
    held_out = set(np.array_split(order, num_folds)[int(fold)].tolist())
    train = tuple(case for index, case in enumerate(ordered) if index not in held_out)
    return train, tuple(case for index, case in enumerate(ordered) if index in held_out)


def verify_cases(task: DecathlonTask, cases: Sequence[Case] | None = None, *, num_workers: int | None = None) -> None:
    """Read every voxel of the cases and check that image and label belong together.

    Both files are whole; the image has the task's channels (4th axis) and finite values; the label has the
    image's shape and affine (within 0.001 mm) and only the task's values. A terminal shows progress.

    Args:
        task: from `read_task`.
        cases: those to check; default: all of the task.
        num_workers: threads, each with one image and label in memory; default: one per core, at most 4.

    Raises:
        DataError: the first problem in the order of the cases, and how many more cases have one.

    Example:
        >>> verify_cases(DecathlonTask("empty", ("MRI",), {0: "background", 1: "organ"}, ()))
    """
    chosen = task.cases if cases is None else cases
    threads = min(4, os.cpu_count() or 1) if num_workers is None else max(1, num_workers)
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda case: _find_problem(task, case), chosen)
        # disable=None: silent unless stderr is a terminal
        progress = tqdm(found, total=len(chosen), desc="verify", unit="case", disable=None, leave=False)
        problems = [problem for problem in progress if problem]
    if problems:
        raise DataError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


def _json_error(folder: Path, message: str) -> DataError:
    return DataError(f"{folder / 'dataset.json'}: {message}")


def _read_json(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not (path := folder / "dataset.json").is_file():
        raise DataError(f"{folder}: no dataset.json; needed are dataset.json, imagesTr and labelsTr")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _json_error(folder, f"not valid JSON ({error})") from None
    for key in ("modality", "labels", "training"):
        if not isinstance(content, dict) or key not in content:
            raise _json_error(folder, f'no "{key}" in it; needed are "modality", "labels" and "training"')
    return content


def _parse_names(folder: Path, content: dict[str, Any], key: str) -> dict[int, str]:
    """The names under a key by number; JSON has the numbers as strings."""
    try:
        names = dict(sorted((int(number), str(name)) for number, name in content[key].items()))
    except (AttributeError, ValueError):
        raise _json_error(folder, f'"{key}" must map numbers to names, such as {{"0": "name"}}') from None
    if not names or list(names) != list(range(len(names))):
        raise _json_error(folder, f'"{key}" must be numbered 0, 1, 2, ... without gaps, got {list(names)}')
    return names


def _parse_case(folder: Path, entry: object, number: int) -> Case:
    paths = {}
    for key in ("image", "label"):
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise _json_error(folder, f'"training" entry {number} has no "{key}": {entry}')
        paths[key] = folder / entry[key]
        if not paths[key].is_file():
            raise DataError(f"{paths[key]}: {key} named in dataset.json, but there is no such file")
    name = paths["image"].name.removesuffix(".gz").removesuffix(".nii")
    return Case(name, paths["image"], paths["label"])


def _find_problem(task: DecathlonTask, case: Case) -> str | None:
    """What is wrong with a case, in one line, or None."""
    try:
        image, affine = _read_nifti(case.image)
        _check_image(case.image, image, task.channels)
        label, label_affine = _read_nifti(case.label)
        if label.shape != image.shape[:3]:
            raise DataError(f"{case.label}: shape {label.shape}, but its image has {image.shape[:3]}")
        difference = float(np.abs(affine - label_affine).max())
        if not difference <= AFFINE_TOLERANCE_MM:
            raise DataError(f"{case.label}: affine is {difference:.4g} mm off its image's: resample it")
        _check_label(case.label, label, task.labels)
    except DataError as error:
        return str(error)
    return None


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All voxels and the affine; unlike `nibabel.load`, a compressed file is read to its checksum."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        kind = nib.Nifti2Image if content[:4] in _NIFTI2_STARTS else nib.Nifti1Image
        nifti = kind.from_bytes(content)
        voxels = np.asanyarray(nifti.dataobj)
        if voxels.size == 0 or voxels.dtype.kind not in "iuf":
            raise ValueError(f"{voxels.size} voxels of type {voxels.dtype}")
    except _BROKEN as error:
        raise DataError(f"{path}: truncated or corrupt NIfTI ({error}): replace the file") from None
    return voxels, nifti.affine


def _check_image(path: Path, image: np.ndarray, channels: tuple[str, ...]) -> None:
    found = image.shape[3] if image.ndim > 3 else 1
    if found != len(channels) or image.ndim > 4:
        raise DataError(f"{path}: shape {image.shape} has {found} channels, dataset.json {len(channels)}")
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        raise DataError(f"{path}: {int((~finite).sum())} values are NaN or infinite: replace them by numbers")


def _check_label(path: Path, label: np.ndarray, names: Mapping[int, str]) -> None:
    if label.dtype.kind == "f" and (odd := label[~np.isfinite(label) | (label != np.rint(label))]).size:
        raise DataError(f"{path}: label value {odd[0]:g} is not a whole number")
    for value in (int(label.min()), int(label.max())):
        if value not in names:
            raise DataError(f"{path}: label value {value}, but dataset.json names 0 to {max(names)} only")
