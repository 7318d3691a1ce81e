"""The check of a data set before anything is trained on it, and a summary of what it holds."""

from __future__ import annotations

import os
from typing import Any

import nibabel as nib
import numpy as np

from monai_patchgrow.data import Case, read_task, verify_cases
from monai_patchgrow.data.tasks.nifti_header import mm_per_unit

__all__ = ["verify_data"]


def verify_data(dataset_dir: str | os.PathLike[str], *, trust_label_voxels: bool = False) -> str:
    """Check a folder in Decathlon's or nnU-Net's layout, every voxel of it, and describe it.

    Args:
        dataset_dir: folder with dataset.json, imagesTr and labelsTr.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.

    Returns:
        A few lines to print: name, number of cases, channels, labels, and the range of shapes (voxels) and
        spacings (mm), axis by axis.

    Raises:
        DataError: whatever is wrong with the folder or its files, in one line.

    Example:
        >>> import tempfile
        >>> from monai_patchgrow.data.synthetic.phantom import write_phantom_task
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(verify_data(write_phantom_task(folder, num_cases=3)))
        Phantom: 3 cases, no problems found
        channels  0 synthetic
        labels    0 background, 1 head, 2 tail
        shape     32 x 38 x 27 to 34 x 42 x 30 voxels
        spacing   1 x 1 x 1.5 mm
    """
    task = read_task(dataset_dir)
    verify_cases(task, trust_label_voxels=trust_label_voxels)
    shapes, spacings = zip(*(_read_geometry(case) for case in task.cases), strict=True)
    rows = (
        ("channels", ", ".join(f"{number} {name}" for number, name in enumerate(task.channels))),
        ("labels", ", ".join(f"{value} {name}" for value, name in task.labels.items())),
        ("shape", f"{_format_range(shapes)} voxels"),
        ("spacing", f"{_format_range(spacings)} mm"),
    )
    title = f"{task.name}: {len(task.cases)} cases, no problems found"
    return "\n".join([title, *(f"{key:<9} {value}" for key, value in rows)])


def _read_geometry(case: Case) -> tuple[tuple[float, ...], tuple[float, ...]]:
    header: Any = nib.load(case.images[0]).header  # nibabel's types do not know which format it is
    shape, factor = header.get_data_shape()[:3], mm_per_unit(header)
    zooms = tuple(zoom * factor for zoom in header.get_zooms()[:3])
    return (*shape, 1)[:3], (*zooms, 1.0)[:3]  # a slice is a volume of one


def _format_range(sizes: tuple[tuple[float, ...], ...]) -> str:
    """Smallest to largest size per axis, or the one size that all have."""
    ends = (np.min(sizes, axis=0), np.max(sizes, axis=0))
    low, high = (" x ".join(f"{size:.4g}" for size in end) for end in ends)
    return low if low == high else f"{low} to {high}"
