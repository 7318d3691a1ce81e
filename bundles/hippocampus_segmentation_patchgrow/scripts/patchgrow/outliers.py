"""Whether an image has a voxel so far from all others that normalising by mean and deviation flattens them."""

from __future__ import annotations

import numpy as np

__all__ = ["far_voxel", "tell_far"]

_SAMPLE = 100_000  # voxels that the bulk is told from
_PERCENTILES = (0.5, 99.5)
_FAR = 1000  # widths of the bulk; metal and hot spots lie within some tens


def far_voxel(voxels: np.ndarray) -> float | None:
    """The value of the voxel that lies farthest from the bulk of them, if that is a thousand times the bulk's width.

    Args:
        voxels: finite numbers, of any shape.

    Returns:
        None where there is none, or where the bulk has one value.

    >>> far_voxel(np.array([*range(1000), 3e38])), far_voxel(np.arange(1000.0))
    (3e+38, None)
    """
    flat = voxels.ravel(order="K")
    low, high = np.percentile(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64), _PERCENTILES)
    smallest, largest = float(flat.min()), float(flat.max())
    far = smallest if low - smallest > largest - high else largest
    return far if high > low and max(low - smallest, largest - high) > _FAR * (high - low) else None


def tell_far(value: float) -> str:
    """What to tell of a voxel of such a value."""
    return f"suspicious: a voxel of {value:.3g} is so far off that normalising flattens all others: replace it"
