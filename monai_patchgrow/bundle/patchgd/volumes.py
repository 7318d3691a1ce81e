"""How a PatchGD bundle checks a volume: its file before it is loaded, its voxels before they are changed."""

from __future__ import annotations

import gzip
import logging
import math
import os
from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import torch
from monai.transforms import MapTransform
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.size_limit import check_size
from monai_patchgrow.data.tasks.outliers import far_voxel, tell_far
from monai_patchgrow.data.tiles.file import check_readable
from monai_patchgrow.data.tiles.finite import count_odd

__all__ = ["CheckNiftid", "CheckVoxelsd"]

_GZIP = b"\x1f\x8b"
_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
_AT_A_TIME = 2**20  # bytes
_MOST_BEHIND = 64 * _AT_A_TIME  # the header, and what some programs leave behind the voxels

_logger = logging.getLogger(__name__)


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
    """Refuses an image, as it was loaded, of which a network can learn nothing, and warns of a voxel that is far off.

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
            meta = getattr(data[key], "meta", {})
            _check_voxels(data[key].as_subclass(torch.Tensor), meta.get("filename_or_obj"))
        return dict(data)


def _check_file(path: str | os.PathLike[str]) -> None:
    check_readable(path)
    with _opened(path) as content:
        header = _header_of(content)
        dtype = header.get_data_dtype()
        size = math.prod(header.get_data_shape()) * dtype.itemsize
        check_size(path, size, stored=os.path.getsize(path))
        if dtype.kind not in "iuf":
            what = f"voxels of type {dtype} are not supported: save numbers, of complex ones the magnitude"
            raise DataError(what, rule="voxel-type")
        if isinstance(content, gzip.GzipFile):
            most = size + _MOST_BEHIND
            while content.read(_AT_A_TIME):
                if content.tell() > most:
                    raise DataError(f"unfolds to more than its header promises, {size} bytes", rule="too-large")


def _opened(path: str | os.PathLike[str]) -> Any:
    """The file's content, unpacked where it is compressed, whatever it is called."""
    with open(path, "rb") as file:
        is_compressed = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path) if is_compressed else open(path, "rb")


def _header_of(content: Any) -> Any:
    kind = nib.Nifti2Header if content.read(4) in _NIFTI2_STARTS else nib.Nifti1Header
    content.seek(0)
    try:
        return kind.from_fileobj(content)
    except (HeaderDataError, WrapStructError) as error:
        raise DataError(f"no NIfTI file ({error})", rule="no-nifti") from error


def _check_voxels(voxels: torch.Tensor, file: Any = None) -> None:
    if not voxels.numel():
        raise DataError(f"has no voxels, its shape is {tuple(voxels.shape)}", rule="no-voxels")
    if number := count_odd(voxels):
        what = f"{number} values are NaN, infinite or too large for float32: replace them by numbers"
        raise DataError(what, rule="image-not-finite")
    low, high = voxels.aminmax()
    if low == high:
        raise DataError(f"all voxels are {low:g}: there is nothing to classify", rule="image-constant")
    if (far := far_voxel(voxels.numpy())) is not None:
        _logger.warning("%s: %s", file or "an image", tell_far(far))
