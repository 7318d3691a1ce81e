"""How a PatchGD bundle checks a volume: its file before it is loaded, its voxels before they are changed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import torch
from monai.transforms import MapTransform

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tiles.file import check_readable
from monai_patchgrow.data.tiles.finite import count_odd

__all__ = ["CheckNiftid", "CheckVoxelsd"]

_GZIP = b"\x1f\x8b"
_AT_A_TIME = 2**20  # bytes


class CheckNiftid(MapTransform):
    """Refuses a NIfTI file that can't be opened, isn't whole, or holds something else than numbers.

    A compressed file is read to its checksum: nibabel stops at the last voxel, and takes damaged ones for sound.

    Args:
        keys: of paths.

    Raises:
        DataError: when it is called: a file that isn't there or that this user may not read, or voxels of another type,
            such as complex numbers or colours.
        Exception: when it is called, of many types: a file that is cut short or damaged.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check the files of one item."""
        for key in self.key_iterator(dict(data)):
            _check_file(data[key])
        return dict(data)


class CheckVoxelsd(MapTransform):
    """Refuses an image, as it was loaded, of which a network can learn nothing.

    Values that were too large for float32 have become infinite when it was loaded.

    Args:
        keys: of tensors ``(C, *spatial)``.

    Raises:
        DataError: when it is called: voxels that are NaN or infinite, none at all, or one value everywhere.

    >>> CheckVoxelsd("image")({"image": torch.tensor([[1.0, float("nan")]])})
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: 1 values are NaN, infinite or too large for float32: replace them by numbers
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check the images of one item."""
        for key in self.key_iterator(dict(data)):
            _check_voxels(data[key].as_subclass(torch.Tensor))
        return dict(data)


def _check_file(path: str | os.PathLike[str]) -> None:
    check_readable(path)
    is_compressed = _starts_with(path, _GZIP)
    if str(path).lower().endswith(".gz") and not is_compressed:
        return  # nibabel goes by the name, and refuses it; MONAI has other readers
    image: Any = nib.load(path)  # its header: the voxels are read when they are asked for
    if (dtype := image.get_data_dtype()).kind not in "iuf":
        raise DataError(
            f"voxels of type {dtype} are not supported: save them as numbers, of complex ones the magnitude"
        )
    if is_compressed:
        with gzip.open(path) as content:
            while content.read(_AT_A_TIME):
                pass


def _starts_with(path: str | os.PathLike[str], start: bytes) -> bool:
    if os.path.isdir(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def _check_voxels(voxels: torch.Tensor) -> None:
    if not voxels.numel():
        raise DataError(f"has no voxels, its shape is {tuple(voxels.shape)}")
    if number := count_odd(voxels):
        raise DataError(f"{number} values are NaN, infinite or too large for float32: replace them by numbers")
    low, high = voxels.aminmax()
    if low == high:
        raise DataError(f"all voxels are {low:g}: there is nothing to classify")
