"""Which axis of an image is resampled by itself, because voxels are so much longer along it than in plane."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["separate_axis"]

_ANISOTROPY = 3.0  # nnU-Net v2's ANISO_THRESHOLD: the coarsest spacing over the finest
_ROUNDING = 1e-5  # of spacings: affines are kept in float32, direction cosines with six digits


def separate_axis(spacing: Sequence[float], *, target: Sequence[float]) -> int | None:
    """The axis across slices, or None where all axes are resampled alike, as nnU-Net v2 decides for each case.

    The case's own spacing decides where its coarsest axis has more than 3 times the spacing of the finest; else the
    target's does, where that has. Two coarsest axes are no slices, and nothing is separate. The rule is that of
    `determine_do_sep_z_and_axis` in nnunetv2/preprocessing/resampling/default_resampling.py.

    Args:
        spacing: of the case, mm per axis.
        target: that the case is resampled to, mm per axis.

    >>> separate_axis((0.8, 0.8, 5.0), target=(1.0, 1.0, 1.0))
    2
    >>> separate_axis((1.0, 1.0, 1.0), target=(3.6, 0.6, 0.6))
    0
    >>> separate_axis((1.0, 1.0, 3.0), target=(1.0, 1.0, 1.0))
    >>> separate_axis((0.24, 1.25, 1.25), target=(3.6, 0.6, 0.6))
    """
    for sizes in (spacing, target):
        coarsest = max(sizes)
        if coarsest > min(sizes) * _ANISOTROPY * (1 + _ROUNDING):
            axes = [axis for axis, size in enumerate(sizes) if math.isclose(size, coarsest, rel_tol=_ROUNDING)]
            return axes[0] if len(axes) == 1 else None
    return None
