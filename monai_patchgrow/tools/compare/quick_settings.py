"""Settings of a training bundle for any Decathlon folder, small enough for a CPU."""

from __future__ import annotations

import math
from typing import Any

import nibabel as nib
import numpy as np

from monai_patchgrow.data import DecathlonTask

__all__ = ["quick_settings"]

_STRIDE = 8  # of the bundle's network, on every axis
_PATCH_VOXELS = 32 * 40 * 32  # what a CPU trains on in about a tenth of a second at these features
_FEATURES = [8, 16, 32, 64]


def quick_settings(task: DecathlonTask) -> dict[str, Any]:
    """The bundle's keys that follow from a data set: channels, labels, spacing, patch size; and a narrow network.

    Augmentation is off: in some hundred iterations it costs more time than it gives Dice.

    The spacing (mm) is the median of the cases', all of it enlarged by one factor where the median case would
    exceed eight patches. The patch (voxels) is the median case cut to a voxel budget, in multiples of the
    network's stride of 8.

    Args:
        task: a data set; only the headers of its images are read.

    Raises:
        ValueError: its labels are regions, of which the bundle knows none.
    """
    if task.regions:
        raise ValueError(f"{task.name}: its labels are regions: make a bundle of it by patchgrow new, and train that")
    shapes, spacings = [], []
    for case in task.cases:
        image: Any = nib.load(case.images[0])
        axes = np.argsort(nib.io_orientation(image.affine)[:, 0])  # the array axes along x, y and z
        shapes.append(np.array(image.shape[:3])[axes])
        spacings.append(np.array(image.header.get_zooms()[:3])[axes])
    spacing = np.median(spacings, axis=0)
    extent = np.median(np.multiply(shapes, spacings), axis=0)
    excess = math.prod(extent / spacing) / (8 * _PATCH_VOXELS)
    spacing = spacing * max(1.0, excess) ** (1 / 3)
    return {
        "channels": list(task.channels),
        "labels": {str(value): name for value, name in task.labels.items()},
        "spacing": [round(float(mm), 3) for mm in spacing],
        "patch_size": _fit_patch(extent / spacing),
        "features": _FEATURES,
        "batch_size": 2,
        "augment": False,
    }


def _fit_patch(shape: np.ndarray) -> list[int]:
    """The largest legal patch inside a median case (voxels per axis), its largest axes cut to the voxel budget."""
    strides = [max(1, int(voxels / _STRIDE)) for voxels in shape]
    while math.prod(strides) * _STRIDE**3 > _PATCH_VOXELS:
        strides[strides.index(max(strides))] -= 1
    return [_STRIDE * number for number in strides]
