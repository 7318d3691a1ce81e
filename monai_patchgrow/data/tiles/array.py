"""Tile sources of arrays: in memory, mapped from a .npy file, or in the chunks of a zarr."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_patchgrow.data.size_limit import check_size
from monai_patchgrow.data.tiles.cells import Cell, format_cell, overlap, parse_cells, parse_padding
from monai_patchgrow.data.tiles.file import FileTiles, import_reader, reason_of
from monai_patchgrow.data.tiles.finite import IN_MEMORY, check_finite

__all__ = ["ArrayTiles", "MemmapTiles", "ZarrTiles"]

_UNDECODED = "can't be decoded"


class ArrayTiles:
    """Patches of an array `(C, *spatial)`; of a mapped one no more is read than they hold.

    Pickling copies the array: processes that should share a file take `MemmapTiles`.

    Args:
        image: `(C, *spatial)`.
        padding: the value of voxels beyond the border.

    Raises:
        ValueError: no channel or no spatial axis, or a padding that the array's type can't hold.

    Example:
        >>> ArrayTiles(np.arange(4, dtype=np.uint8).reshape(1, 4), padding=9).read([(slice(2, 5),)]).tolist()
        [[[2, 3, 9]]]
    """

    def __init__(self, image: NDArray[Any], *, padding: float = 0) -> None:
        if image.ndim < 2 or not image.size:
            raise ValueError(f"an image must be an array (C, *spatial) that isn't empty, got {image.shape}")
        self.image = image
        self._dtype = image.dtype.newbyteorder("=")
        self.padding = parse_padding(padding, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`."""
        return self.image.shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the voxels."""
        return torch.from_numpy(np.empty(0, self._dtype)).dtype

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
            DataError: voxels that are NaN, infinite or too large for float32.
        """
        starts, size = parse_cells(cells, self.shape)
        patches = np.full((len(starts), self.shape[0], *size), self.padding, self._dtype)
        for patch, start in zip(patches, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                inside, within = places
                patch[(slice(None), *within)] = self.image[(slice(None), *inside)]
        voxels = torch.from_numpy(patches)
        check_finite(voxels, starts, image=IN_MEMORY)
        return voxels


class _StoredArray(FileTiles):
    """Patches of an array on disk, whose channels may be on any axis."""

    def __init__(self, path: str | os.PathLike[str], *, channel_dim: int | None = 0, padding: float = 0) -> None:
        self.channel_dim = channel_dim
        super().__init__(path, padding=padding)

    def _describe(self, handle: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        shape = [int(extent) for extent in handle.shape]
        if self.channel_dim is None:
            return (1, *shape), np.dtype(handle.dtype)
        try:
            channels = shape.pop(self.channel_dim)
        except IndexError:
            raise self._error(f"no axis {self.channel_dim} for the channels in shape {handle.shape}") from None
        return (channels, *shape), np.dtype(handle.dtype)

    def _fill(self, handle: Any, patches: NDArray[Any], starts: Sequence[tuple[int, ...]]) -> None:
        size = patches.shape[2:]
        for patch, start in zip(patches, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                inside, within = places
                patch[(slice(None), *within)] = self._part(handle, inside, format_cell(start, size))

    def _part(self, handle: Any, inside: Cell, place: str) -> NDArray[Any]:
        key = list[slice](inside)
        if self.channel_dim is None:
            return self._load(handle, key, place)
        axis = self.channel_dim % len(self.shape)
        key.insert(axis, slice(None))
        return np.moveaxis(self._load(handle, key, place), axis, 0)

    def _load(self, handle: Any, key: list[slice], place: str) -> NDArray[Any]:
        return handle[tuple(key)]


class MemmapTiles(_StoredArray):
    """Patches of a .npy file, which is mapped: no more of it is read than the patches hold.

    Args:
        path: of the file, as `numpy.save` writes it.
        channel_dim: axis of the channels; None: there is none, and the image has one channel.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: no such file, or no array in it.
    """

    def _open(self) -> NDArray[Any]:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._error(reason_of(error, otherwise="no array that can be mapped")) from None


class ZarrTiles(_StoredArray):
    """Patches of a zarr array, or of one level of a group (as OME-Zarr's): only the chunks under a cell are decoded.

    Args:
        path: folder of the array or group.
        level: which array of a group: of its "multiscales" the level-th, else the one of that name. 0 is the finest.
        channel_dim: axis of the channels; None: there is none, and the image has one channel.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: no such folder or level, chunks that are larger than `PATCHGROW_MAX_FILE_GIB` allows, or one that
            can't be decoded.
        ValueError: zarr isn't installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, level: int = 0, channel_dim: int | None = 0, padding: float = 0
    ) -> None:
        self.level = level
        super().__init__(path, channel_dim=channel_dim, padding=padding)

    def _open(self) -> Any:
        zarr = import_reader("zarr", extra="zarr", path=self.path)
        try:
            node = zarr.open(str(self.path), mode="r")
            return node[_level_name(node, self.level)] if isinstance(node, zarr.Group) else node
        except (KeyError, IndexError):
            raise self._error(f"no level {self.level}; the finest is 0") from None
        except Exception as error:  # of many types: it depends on what is broken
            raise self._error(reason_of(error, otherwise="no zarr")) from None

    def _describe(self, handle: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        shape, dtype = super()._describe(handle)
        # A chunk is decoded as a whole, also where it is larger than the image.
        check_size(self.path, math.prod(handle.chunks) * dtype.itemsize, stored=self._stored_bytes, what="one chunk")
        return shape, dtype

    def _stored_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def _load(self, handle: Any, key: list[slice], place: str) -> NDArray[Any]:
        try:
            return handle[tuple(key)]
        except Exception as error:  # each codec has its own
            raise self._error(f"a chunk at {place} {reason_of(error, otherwise=_UNDECODED)}") from None


def _level_name(group: Any, level: int) -> str:
    scales = group.attrs.get("multiscales") or group.attrs.get("ome", {}).get("multiscales")
    if not scales:
        return str(level)
    if level < 0:
        raise IndexError(level)
    return scales[0]["datasets"][level]["path"]
