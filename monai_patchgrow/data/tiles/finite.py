"""Whether the voxels of an image are numbers that a network takes: finite, and within the range of float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tiles.cells import format_cell

__all__ = ["IN_MEMORY", "check_finite", "count_odd"]

IN_MEMORY = "an image in memory"
"""What an image without a file is called in messages."""

_LARGEST = torch.finfo(torch.float32).max


def count_odd(voxels: Tensor) -> int:
    """How many voxels are NaN, infinite or too large for float32; integers never are, and aren't looked at.

    Voxels on another device than the CPU aren't looked at either: the CPU would have to wait for the answer.

    >>> count_odd(torch.tensor([1.0, float("nan"), float("inf")])), count_odd(torch.tensor([1e39], dtype=torch.float64))
    (2, 1)
    """
    if not voxels.is_floating_point() or voxels.device.type != "cpu" or not voxels.numel():
        return 0
    low, high = (float(end) for end in voxels.detach().aminmax())  # both NaN where there is one
    if low >= -_LARGEST and high <= _LARGEST:
        return 0
    return int((~(voxels.detach().double().abs() <= _LARGEST)).sum())


def check_finite(patches: Tensor, starts: Sequence[Sequence[int]], *, image: str) -> None:
    """Check patches that were read of an image.

    Args:
        patches: ``(N, C, *patch)``.
        starts: the first voxel of each.
        image: its file, or what else it is called.

    Raises:
        DataError: values that are NaN, infinite or too large for float32; names the first place.

    >>> check_finite(torch.tensor([[[1.0, float("inf")]]]), [(4,)], image="a.npy")
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: a.npy: 1 values at [4:6] are NaN, infinite or too large for float32: \
replace them by numbers
    """
    if not count_odd(patches):
        return
    for patch, start in zip(patches, starts, strict=True):
        if number := count_odd(patch):
            place = format_cell(start, patch.shape[1:])
            raise DataError(
                f"{image}: {number} values at {place} are NaN, infinite or too large for float32: "
                "replace them by numbers",
                rule="image-not-finite",
            )
