"""What the header of a NIfTI file says of where its voxels are, and whether two headers agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["SAME_VOXEL", "mm_per_unit", "off_grid", "volume_shape", "voxels_moved"]

SAME_VOXEL = 0.5
"""Headers agree where they put no voxel further from where the other does: resampling by one would change nothing."""

_MM_PER_UNIT = {"micron": 1e-3, "meter": 1e3}


def voxels_moved(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """How far apart two headers put a voxel, in voxels of the first: on the axis and at the corner where it is most.

    Args:
        shape: of the volume, (X, Y, Z).
        affine: (4, 4), from voxels to mm.
        other: (4, 4), of the second header.

    Returns:
        Voxels; infinite where one of the two is no affine that has an inverse.

    Example:
        >>> shifted = np.array([[1.0, 0, 0, 0.25], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        >>> voxels_moved((30, 34, 26), np.eye(4), shifted)
        0.25
    """
    corners = np.array([*itertools.product(*((0, size - 1) for size in shape))], float)
    try:
        relative = np.linalg.solve(np.asarray(affine, float), np.asarray(other, float))
    except np.linalg.LinAlgError:
        return np.inf
    moved = corners @ relative[:3, :3].T + relative[:3, 3] - corners
    largest = float(np.abs(moved).max())
    return largest if np.isfinite(largest) else np.inf


def off_grid(moved: float) -> str:
    """What to tell of a label whose header puts voxels so far from its image's, in voxels, and what to do."""
    return (
        f"its header puts voxels {moved:.3g} voxels off its image's, though the shapes agree: where the voxels belong "
        "together, as under a header of identity, copy the image's header or set trust_label_voxels; else resample it"
    )


def mm_per_unit(header: Any) -> float:
    """How many mm a header's unit of space is; 1 where it names none.

    Args:
        header: nibabel's, of a NIfTI file.

    Example:
        >>> from nibabel import Nifti1Header
        >>> header = Nifti1Header()
        >>> header.set_xyzt_units("micron")
        >>> mm_per_unit(header)
        0.001
    """
    return _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)


def volume_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that voxels are read in: a slice is a volume of one, and of axes behind the third those of one go.

    Args:
        shape: as the header has it.

    Returns:
        (X, Y, Z) or (X, Y, Z, C); of fewer axes than two, or more than one of channels, as it was.

    Example:
        >>> volume_shape((30, 34)), volume_shape((30, 34, 26, 1, 2)), volume_shape((30, 34, 26, 1))
        ((30, 34, 1), (30, 34, 26, 2), (30, 34, 26, 1))
    """
    if len(shape) == 2:
        return (*shape, 1)
    if len(shape) <= 4:
        return tuple(shape)
    return (*shape[:3], *(tuple(size for size in shape[3:] if size > 1) or (1,)))
