"""The rules that a data set breaks as a whole, though each of its files may be sound."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from monai_patchgrow.data.tasks.faults import Report
from monai_patchgrow.data.tasks.verification import CheckedCase
from monai_patchgrow.label_classes import LabelClasses

__all__ = ["check_channel_counts", "check_classes_present", "check_duplicates", "check_spacings"]

_UNUSUAL = 10  # times off
_FEWEST = 3  # cases of which something is usual


def check_duplicates(
    images: Mapping[str, CheckedCase], report: Report, *, tested: Mapping[str, CheckedCase] | None = None
) -> None:
    """Report images with the same voxels.

    Args:
        images: what was found, by the image's file.
        report: is told each fault.
        tested: images that nothing is trained on; none may be among the others.
    """
    first = dict[str, str]()
    for file, checked in images.items():
        if checked.digest and (other := first.setdefault(checked.digest, file)) != file:
            report("duplicate-image", file, f"has the voxels of {os.path.basename(other)}")
    for file, checked in (tested or {}).items():
        if checked.digest in first:
            what = f"has the voxels of {os.path.basename(first[checked.digest])}, which is trained on"
            report("test-overlap", file, what)


def check_classes_present(file: str, classes: Mapping[int, str], found: set[int], report: Report) -> None:
    """Report classes that nothing is labelled with.

    Args:
        file: that names the classes.
        classes: their names.
        found: those that there are.
        report: is told each fault.
    """
    for value in sorted(set(classes) - found - {LabelClasses(classes).ignored}):
        report("class-absent", file, f"no case has the label {value} {classes[value]}".rstrip())


def check_spacings(images: Mapping[str, CheckedCase], report: Report) -> None:
    """Report images whose spacing is ten times off the median of all, on any axis from fine to coarse."""
    known = {file: sorted(checked.spacing) for file, checked in images.items() if checked.spacing}
    if len(known) < _FEWEST:
        return
    usual = np.median([*known.values()], axis=0)
    for file, spacing in known.items():
        ratio = np.maximum(np.array(spacing), 1e-12) / usual
        if ratio.max() > _UNUSUAL or ratio.min() < 1 / _UNUSUAL:
            told, wanted = (" x ".join(f"{size:.4g}" for size in sizes) for sizes in (spacing, usual))
            report("spacing-unusual", file, f"spacing {told} mm, fine to coarse; usual are {wanted}")


def check_channel_counts(images: Mapping[str, CheckedCase], report: Report) -> None:
    """Report images with other channels than most have; the first axis of their shape counts them."""
    counts = Counter(checked.shape[0] for checked in images.values() if checked.shape)
    if len(counts) < 2:
        return
    usual: int = max(counts, key=counts.__getitem__)
    others: Sequence[tuple[str, int]] = [(file, one.shape[0]) for file, one in images.items() if one.shape]
    for file, count in others:
        if count != usual:
            report("channel-count", file, f"has {count} channels, others have {usual}")
