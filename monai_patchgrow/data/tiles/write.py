"""Writes any tile source as a tiled TIFF, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.tiles.file import import_reader
from monai_patchgrow.data.tiles.source import TileSource
from monai_patchgrow.files import whole_file

__all__ = ["write_tiled_tiff"]

_TILES_AT_ONCE = 64
_CLASSIC_BYTES = 2**32 - 2**25  # a classic TIFF counts its bytes with 32 bits


def write_tiled_tiff(
    path: str | os.PathLike[str],
    source: TileSource,
    *,
    tile_size: int = 256,
    compression: str | None = "zlib",
    level: int | None = None,
) -> Path:
    """Write a 2-D image `(C, Y, X)` as a tiled TIFF; a few tiles of it are in memory at a time.

    The file appears whole or not at all.

    Args:
        path: of the file; its folder must be there.
        source: the image; three channels are written as RGB.
        tile_size: rows and columns of a tile, a multiple of 16 pixels.
        compression: as tifffile names it; None stores the pixels as they are.
        level: of the compression; default: its own.

    Returns:
        The file's path.

    Raises:
        ValueError: an image that isn't 2-D, a tile size that TIFF doesn't allow, or tifffile isn't installed.
    """
    path = Path(path)
    if len(source.shape) != 3:
        raise ValueError(f"{path}: a tiled TIFF holds images (C, Y, X), got shape {source.shape}")
    if tile_size < 16 or tile_size % 16:
        raise ValueError(f"tile_size must be a multiple of 16 pixels, got {tile_size}")
    tifffile = import_reader("tifffile", extra="tiff", path=path)
    import_reader("imagecodecs", extra="tiff", path=path)
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            _tiles(source, tile_size),
            **_layout(source),
            tile=(tile_size, tile_size),
            compression=compression,
            compressionargs=None if level is None else {"level": level},
            metadata=None,
        )
    return path


def _layout(source: TileSource) -> dict[str, Any]:
    """What tifffile must know of the pixels before it gets the first of them."""
    channels, rows, columns = source.shape
    dtype = source.read([(slice(0, 1), slice(0, 1))]).numpy().dtype
    return {
        "shape": (rows, columns) if channels == 1 else (rows, columns, channels),
        "dtype": dtype,
        "photometric": "rgb" if channels == 3 else "minisblack",
        "planarconfig": None if channels == 1 else "contig",
        "bigtiff": channels * rows * columns * dtype.itemsize > _CLASSIC_BYTES,
    }


def _tiles(source: TileSource, size: int) -> Iterator[NDArray[Any]]:
    """Tiles `(Y, X, C)` in the order of the file, some read at once."""
    channels, rows, columns = source.shape
    corners = [(row, column) for row in range(0, rows, size) for column in range(0, columns, size)]
    for first in range(0, len(corners), _TILES_AT_ONCE):
        some = corners[first : first + _TILES_AT_ONCE]
        for tile in source.read([(slice(r, r + size), slice(c, c + size)) for r, c in some]).numpy():
            yield np.ascontiguousarray(tile[0] if channels == 1 else tile.transpose(1, 2, 0))
