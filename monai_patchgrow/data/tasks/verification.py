"""Whether the files of a task's cases are sound: every voxel is read."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError
from tqdm import tqdm

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.task import Case, DecathlonTask

__all__ = ["verify_cases"]

AFFINE_TOLERANCE_MM = 1e-3  # per entry of the two matrices: more than rounding, less than another grid
_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
_BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, OverflowError, zlib.error)
_BROKEN += (ImageFileError, HeaderDataError, ImageDataError, WrapStructError)


def verify_cases(task: DecathlonTask, cases: Sequence[Case] | None = None, *, num_workers: int | None = None) -> None:
    """Read every voxel of the cases and check that image and label belong together.

    All files are whole; the image has the task's channels (4th axis, or one per file) and finite values; its files
    share shape and affine; the label has the image's shape and affine (within 0.001 mm) and only the task's values.
    A terminal shows progress.

    Args:
        task: from `read_task`.
        cases: those to check; default: all of the task.
        num_workers: threads, each with one file in memory; default: one per core, at most 4.

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


def _find_problem(task: DecathlonTask, case: Case) -> str | None:
    """What is wrong with a case, in one line, or None."""
    try:
        shape, affine = _check_images(case, task.channels)
        label, label_affine = _read_nifti(case.label)
        if label.shape != shape:
            raise DataError(f"{case.label}: shape {label.shape}, but its image has {shape}")
        difference = float(np.abs(affine - label_affine).max())
        if not difference <= AFFINE_TOLERANCE_MM:
            raise DataError(f"{case.label}: affine is {difference:.4g} mm off its image's: resample it")
        _check_label(case.label, label, task.labels)
    except DataError as error:
        return str(error)
    return None


def _check_images(case: Case, channels: tuple[str, ...]) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape (3 axes) and affine that all files of the image share."""
    first, *others = case.images
    image, affine = _read_nifti(first)
    _check_image(first, image, len(channels) if not others else 1)
    shape = image.shape[:3]
    for path in others:
        image, other = _read_nifti(path)
        _check_image(path, image, 1)
        if image.shape[:3] != shape:
            raise DataError(f"{path}: shape {image.shape[:3]}, but {first.name} has {shape}")
        if not np.allclose(other, affine):  # what MONAI's LoadImaged asks of channels that it stacks
            difference = float(np.abs(other - affine).max())
            raise DataError(f"{path}: affine is {difference:.4g} mm off that of {first.name}: resample it")
    return shape, affine


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


def _check_image(path: Path, image: np.ndarray, num_channels: int) -> None:
    if image.ndim < 3:
        raise DataError(f"{path}: shape {image.shape}: store a single slice as a volume of one, (X, Y, 1)")
    found = image.shape[3] if image.ndim > 3 else 1
    if found != num_channels or image.ndim > 4:
        raise DataError(f"{path}: shape {image.shape} has {found} channels, dataset.json {num_channels}")
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        raise DataError(f"{path}: {int((~finite).sum())} values are NaN or infinite: replace them by numbers")


def _check_label(path: Path, label: np.ndarray, names: Mapping[int, str]) -> None:
    if label.dtype.kind == "f" and (odd := label[~np.isfinite(label) | (label != np.rint(label))]).size:
        raise DataError(f"{path}: label value {odd[0]:g} is not a whole number")
    for value in (int(label.min()), int(label.max())):
        if value not in names:
            raise DataError(f"{path}: label value {value}, but dataset.json names 0 to {max(names)} only")
