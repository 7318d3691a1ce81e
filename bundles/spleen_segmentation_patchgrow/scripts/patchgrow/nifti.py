"""Reads NIfTI files as MONAI does, and mends what people's headers have that no voxel should suffer from."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import NibabelReader
from monai.transforms import LoadImaged
from monai.utils import ensure_tuple

from .errors import DataError
from .nifti_header import SAME_VOXEL, mm_per_unit, volume_shape, voxels_moved
from .size_limit import check_size

__all__ = ["NiftiReader", "load_images"]

_logger = logging.getLogger(__name__)


class NiftiReader(NibabelReader):
    """MONAI's reader of NIfTI files, with these differences.

    - A file of one slice, (X, Y), is a volume of one, (X, Y, 1); axes of one behind the fourth are left out.
    - A header in microns or metres is converted to mm, with a warning.
    - The files of an image's channels may differ in their headers by what moves no voxel by half of one, as rounded
      direction cosines do: all take the first's. MONAI stacks only what agrees to 1e-5.

    Raises:
        DataError: channels whose headers differ by more, or a file larger than the limit (when the voxels are read).

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/slice.nii"
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 4), np.uint8), np.eye(4)), path)
    >>> reader = NiftiReader()
    >>> reader.get_data(reader.read(path))[0].shape
    (5, 4, 1)
    """

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Return voxels and metadata of what :meth:`read` gave; see the class."""
        # LoadImage tries other readers where `read` fails: only an error from here reaches the user.
        names = ensure_tuple(self.filenames)
        for image, name in zip(ensure_tuple(img), names, strict=True):
            check_size(name, math.prod(image.shape) * image.get_data_dtype().itemsize, stored=os.path.getsize(name))
            if (kind := image.get_data_dtype()).kind not in "iuf":
                raise DataError(
                    f"{name}: voxels of type {kind} are not supported: save numbers, of complex ones the magnitude"
                )
        images = [_mended(image, str(name)) for image, name in zip(ensure_tuple(img), names, strict=True)]
        first, *others = images
        for number, other in enumerate(others, 1):
            if other.shape != first.shape:
                raise DataError(f"{names[number]}: shape {other.shape}, but {names[0]} has {first.shape}")
            moved = voxels_moved(first.shape[:3], first.affine, other.affine)
            if not moved < SAME_VOXEL:
                raise DataError(f"{names[number]}: affine is {moved:.3g} voxels off that of {names[0]}: resample it")
            images[number] = nib.Nifti1Image(other.dataobj, first.affine, other.header)
        return super().get_data(images if others else first)


def load_images(keys: KeysCollection) -> LoadImaged:
    """Return MONAI's ``LoadImaged``, which chooses a reader by the file's ending, with `NiftiReader` for NIfTI files.

    Args:
        keys: of paths, or of lists of one path per channel.

    >>> type(load_images("image")).__name__
    'LoadImaged'
    """
    load = LoadImaged(keys)
    load.register(NiftiReader())  # asked first; as an argument it would be tried on files of every kind
    return load


def _mended(image: Any, name: str) -> Any:
    """The image as a volume in mm; the very image where it is one."""
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        return image
    factor, shape = mm_per_unit(image.header), volume_shape(image.shape)
    if factor == 1 and shape == image.shape:
        return image
    header, affine = image.header.copy(), image.affine * [[factor], [factor], [factor], [1]]
    if factor != 1:
        _logger.warning("%s: its header is in %s: converted to mm", name, image.header.get_xyzt_units()[0])
        header.set_xyzt_units("mm")
    return type(image)(np.asanyarray(image.dataobj).reshape(shape), affine, header)
