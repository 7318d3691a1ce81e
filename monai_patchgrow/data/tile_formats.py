"""Opens a huge image on disk as the tile source that suits its suffix."""

from __future__ import annotations

import os
from pathlib import Path

from monai_patchgrow.data.array_tiles import MemmapTiles, ZarrTiles
from monai_patchgrow.data.file_tiles import FileTiles
from monai_patchgrow.data.image_suffixes import ARRAYS, SLIDES, TIFFS, split_suffix
from monai_patchgrow.data.slide_tiles import SlideTiles
from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tiff_tiles import TiffTiles

__all__ = ["open_tiles"]


def open_tiles(
    path: str | os.PathLike[str], *, level: int = 0, channel_dim: int | None = 0, padding: float = 0
) -> FileTiles:
    """The tile source of a file: .npy, .zarr, .tif and .tiff (tiled), and the suffixes of slides by openslide.

    Args:
        path: of the file, or of the folder of a zarr.
        level: of a TIFF's, zarr's or slide's pyramid; 0 is the finest.
        channel_dim: axis of the channels in a .npy or .zarr; None: there is none.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: no such file, another suffix, or a file that can't be read.
        ValueError: the library that reads it isn't installed.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/image.npy", np.zeros((3, 40, 50), np.uint8))
        ...     open_tiles(f"{folder}/image.npy").shape
        (3, 40, 50)
    """
    suffix = split_suffix(Path(path).name)[1]
    if suffix == ".npy":
        if level:
            raise DataError(f"{path}: no level {level}: a .npy has only level 0")
        return MemmapTiles(path, channel_dim=channel_dim, padding=padding)
    if suffix == ".zarr":
        return ZarrTiles(path, level=level, channel_dim=channel_dim, padding=padding)
    if suffix in TIFFS:
        return TiffTiles(path, level=level, padding=padding)
    if suffix in SLIDES:
        return SlideTiles(path, level=level, padding=padding)
    known = " ".join((*ARRAYS, *TIFFS, *SLIDES))
    raise DataError(f"{path}: no tile source for the suffix {Path(path).suffix!r}: known are {known}")
