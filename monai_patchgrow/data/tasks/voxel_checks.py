"""What the voxels of an image and of a label map tell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from monai_patchgrow.data.tasks.faults import Report
from monai_patchgrow.data.tasks.outliers import far_voxel, tell_far
from monai_patchgrow.label_classes import LabelClasses

__all__ = ["check_image_values", "check_label_values", "check_not_constant"]

_LARGEST = float(np.finfo(np.float32).max)


def check_image_values(path: str | os.PathLike[str], image: np.ndarray, report: Report) -> bool:
    """Whether all values are finite and float32 holds them; reports others, and a sound one that is far off.

    Args:
        path: of its file.
        image: the voxels, of any shape.
        report: is told each fault.
    """
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        what = f"{int((~finite).sum())} values are NaN or infinite: replace them by numbers"
        report("image-not-finite", path, what)
        return False
    if max(abs(float(image.min())), abs(float(image.max()))) > _LARGEST:
        what = f"values beyond {_LARGEST:.3g}, the largest of float32: replace or rescale them"
        report("image-overflow", path, what)
        return False
    if (far := far_voxel(image)) is not None:
        report("image-outlier", path, tell_far(far))
    return True


def check_not_constant(path: str | os.PathLike[str], channels: Sequence[np.ndarray], report: Report) -> None:
    """Report an image all of whose channels have one value; one blank channel among others is read.

    Args:
        path: of its first file.
        channels: the voxels of each of its files.
        report: is told the fault.
    """
    if not any(channel.any() for channel in channels):
        report("image-blank", path, "all voxels are 0: leave the case out of dataset.json")
    elif all(channel.min() == channel.max() for channel in channels):
        value = float(channels[0].flat[0])
        report("image-constant", path, f"all voxels are {value:g}: leave the case out of dataset.json")


def check_label_values(
    path: str | os.PathLike[str], label: np.ndarray, names: Mapping[int, str], report: Report
) -> frozenset[int]:
    """Report label values that are not whole or that have no name.

    Args:
        path: of its file.
        label: the voxels, of any shape.
        names: of the values 0, 1, 2, ...; empty: they aren't known.
        report: is told each fault.

    Returns:
        The values that there are; none where one of them is at fault.
    """
    label = label.astype(np.float32) if label.dtype == np.float64 else label  # as they are trained on: 30 x 0.1 is 3
    if label.dtype.kind == "f" and (odd := label[~np.isfinite(label) | (label != np.rint(label))]).size:
        report("label-not-whole", path, f"label value {odd[0]:g} is not a whole number")
        return frozenset()
    if not names:
        return frozenset()
    lowest, highest = int(label.min()), int(label.max())
    for value in {lowest, highest} - set(names):
        rule = "label-negative" if value < 0 else "label-unknown"
        report(rule, path, f"label value {value}, but dataset.json names 0 to {max(names)} only")
    if lowest < 0 or highest > max(names):
        return frozenset()
    ignored = LabelClasses(names).ignored
    counts = np.zeros(len(names), np.int64)
    for part in np.moveaxis(label, -1, 0):
        counts += np.bincount(part.ravel().astype(np.intp), minlength=len(names))
    found = frozenset(np.flatnonzero(counts).tolist())
    if found == {ignored}:
        report("label-ignored", path, "all voxels are to be ignored")
    elif found <= {0, ignored}:
        report("label-empty", path, "label map of background alone")
    return found
