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

from .errors import DataError
from .nifti_header import SAME_VOXEL, mm_per_unit, off_grid, volume_shape, voxels_moved
from .task import Case, DecathlonTask

__all__ = ["find_problems", "verify_cases"]

_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
_LARGEST = float(np.finfo(np.float32).max)
_BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, OverflowError, zlib.error)
_BROKEN += (ImageFileError, HeaderDataError, ImageDataError, WrapStructError)


def verify_cases(
    task: DecathlonTask,
    cases: Sequence[Case] | None = None,
    *,
    trust_label_voxels: bool = False,
    num_workers: int | None = None,
) -> None:
    """Read every voxel of the cases and check that image and label belong together.

    All files are whole; the image has the task's channels (4th axis, or one per file), values that float32 holds, and
    not 0 alone; its files share shape and grid; the label has the image's shape and grid (no voxel is half of one
    off) and only the task's values. A terminal shows progress.

    Args:
        task: from `read_task`.
        cases: those to check; default: all of the task.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
        num_workers: threads, each with one file in memory; default: one per core, at most 4.

    Raises:
        DataError: the first problem in the order of the cases, and how many more cases have one.

    Example:
        >>> verify_cases(DecathlonTask("empty", ("MRI",), {0: "background", 1: "organ"}, ()))
    """
    options = {"trust_label_voxels": trust_label_voxels, "num_workers": num_workers}
    problems = [*find_problems(task, cases, **options).values()]  # type: ignore[arg-type]
    if problems:
        raise DataError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


def find_problems(
    task: DecathlonTask,
    cases: Sequence[Case] | None = None,
    *,
    trust_label_voxels: bool = False,
    num_workers: int | None = None,
) -> dict[str, str]:
    """What is wrong with each case that is not sound, in one line, by the case's name; see `verify_cases`.

    Example:
        >>> find_problems(DecathlonTask("empty", ("MRI",), {0: "background", 1: "organ"}, ()))
        {}
    """
    chosen = task.cases if cases is None else cases
    threads = min(4, os.cpu_count() or 1) if num_workers is None else max(1, num_workers)
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda case: _find_problem(task, case, trust_label_voxels), chosen)
        # disable=None: silent unless stderr is a terminal
        progress = tqdm(found, total=len(chosen), desc="verify", unit="case", disable=None, leave=False)
        return {case.name: problem for case, problem in zip(chosen, progress, strict=True) if problem}


def _find_problem(task: DecathlonTask, case: Case, trust_label_voxels: bool) -> str | None:
    """What is wrong with a case, in one line, or None."""
    try:
        shape, affine = _check_images(case, task.channels)
        label, label_affine = _read_nifti(case.label)
        if label.shape == (*shape, 1):
            label = label[..., 0]
        if label.shape != shape:
            raise DataError(f"{case.label}: shape {label.shape}, but its image has {shape}")
        if not trust_label_voxels and not (moved := voxels_moved(shape, affine, label_affine)) < SAME_VOXEL:
            raise DataError(f"{case.label}: {off_grid(moved)}")
        _check_label(case.label, label, task.labels)
    except DataError as error:
        return str(error)
    return None


def _check_images(case: Case, channels: tuple[str, ...]) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape (3 axes) and affine that all files of the image share."""
    first, *others = case.images
    image, affine = _read_nifti(first)
    _check_image(first, image, len(channels) if not others else 1)
    if np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise DataError(f"{first}: its header gives voxels no extent in space (sform and qform): set one of them right")
    shape, is_blank = image.shape[:3], not image.any()
    for path in others:
        image, other = _read_nifti(path)
        _check_image(path, image, 1)
        if image.shape[:3] != shape:
            raise DataError(f"{path}: shape {image.shape[:3]}, but {first.name} has {shape}")
        if not (moved := voxels_moved(shape, affine, other)) < SAME_VOXEL:
            raise DataError(f"{path}: affine is {moved:.3g} voxels off that of {first.name}: resample it")
        is_blank = is_blank and not image.any()
    if is_blank:
        raise DataError(f"{first}: all voxels are 0: leave the case out of dataset.json")
    return shape, affine


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All voxels and the affine in mm; unlike `nibabel.load`, a compressed file is read to its checksum."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    try:
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        kind = nib.Nifti2Image if content[:4] in _NIFTI2_STARTS else nib.Nifti1Image
        nifti = kind.from_bytes(content)
        voxels = np.asanyarray(nifti.dataobj)
        if voxels.size == 0 or voxels.dtype.kind not in "iuf":
            raise ValueError(f"{voxels.size} voxels of type {voxels.dtype}")
    except _BROKEN as error:
        raise DataError(f"{path}: truncated or corrupt NIfTI ({error}): replace the file") from None
    units = [[mm_per_unit(nifti.header)]] * 3 + [[1]]
    return voxels.reshape(volume_shape(voxels.shape)), nifti.affine * units


def _check_image(path: Path, image: np.ndarray, num_channels: int) -> None:
    if image.ndim < 3:
        raise DataError(f"{path}: shape {image.shape}: images have 2 or 3 axes, and a last one of channels")
    found = image.shape[3] if image.ndim > 3 else 1
    if found != num_channels or image.ndim > 4:
        raise DataError(f"{path}: shape {image.shape} has {found} channels, dataset.json {num_channels}")
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        raise DataError(f"{path}: {int((~finite).sum())} values are NaN or infinite: replace them by numbers")
    if max(abs(float(image.min())), abs(float(image.max()))) > _LARGEST:
        raise DataError(f"{path}: values beyond {_LARGEST:.3g}, the largest of float32: replace or rescale them")


def _check_label(path: Path, label: np.ndarray, names: Mapping[int, str]) -> None:
    label = label.astype(np.float32) if label.dtype == np.float64 else label  # as they are trained on: 30 x 0.1 is 3
    if label.dtype.kind == "f" and (odd := label[~np.isfinite(label) | (label != np.rint(label))]).size:
        raise DataError(f"{path}: label value {odd[0]:g} is not a whole number")
    for value in (int(label.min()), int(label.max())):
        if value not in names:
            raise DataError(f"{path}: label value {value}, but dataset.json names 0 to {max(names)} only")
