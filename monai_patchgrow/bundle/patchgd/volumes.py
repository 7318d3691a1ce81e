"""How a PatchGD bundle checks a volume: its file before it is loaded, its voxels before they are changed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.transforms import MapTransform
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tiles.file import check_readable
from monai_patchgrow.data.tiles.finite import count_odd

__all__ = ["CheckNiftid", "CheckVoxelsd"]

_GZIP = b"\x1f\x8b"
_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
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
    with _opened(path) as content:
        dtype = _type_of(content)
        if dtype.kind not in "iuf":
            raise DataError(f"voxels of type {dtype} are not supported: save numbers, of complex ones the magnitude")
        if isinstance(content, gzip.GzipFile):
            while content.read(_AT_A_TIME):
                pass


def _opened(path: str | os.PathLike[str]) -> Any:
    """The file's content, unpacked where it is compressed, whatever it is called."""
    with open(path, "rb") as file:
        is_compressed = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path) if is_compressed else open(path, "rb")


def _type_of(content: Any) -> np.dtype[Any]:
    kind = nib.Nifti2Header if content.read(4) in _NIFTI2_STARTS else nib.Nifti1Header
    content.seek(0)
    try:
        return kind.from_fileobj(content).get_data_dtype()
    except (HeaderDataError, WrapStructError) as error:
        raise DataError(f"no NIfTI file ({error})") from error


def _check_voxels(voxels: torch.Tensor) -> None:
    if not voxels.numel():
        raise DataError(f"has no voxels, its shape is {tuple(voxels.shape)}")
    if number := count_odd(voxels):
        raise DataError(f"{number} values are NaN, infinite or too large for float32: replace them by numbers")
    low, high = voxels.aminmax()
    if low == high:
        raise DataError(f"all voxels are {low:g}: there is nothing to classify")
