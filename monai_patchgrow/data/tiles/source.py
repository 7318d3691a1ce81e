"""Patches of a huge image by their cells, whatever holds the image: a tensor, an array, a file on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from monai_patchgrow.data.tiles.array import ArrayTiles
from monai_patchgrow.data.tiles.cells import Cell, overlap, parse_cells, parse_padding
from monai_patchgrow.data.tiles.finite import IN_MEMORY, check_finite

__all__ = ["TensorTiles", "TileSource", "as_tile_source"]


@runtime_checkable
class TileSource(Protocol):
    """An image whose patches can be read; nothing else of it is ever in memory.

    A source reads by cells: tuples with one slice per spatial axis, in voxels. Where a cell reaches beyond the
    image, its patch is filled with the source's padding.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`."""

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`, in the type of the image's voxels."""


class TensorTiles:
    """Patches of a tensor, on the tensor's device.

    Args:
        image: `(C, *spatial)`.
        padding: the value of voxels beyond the border.

    Raises:
        ValueError: no channel or no spatial axis, or a padding that the tensor's type can't hold.

    Example:
        >>> import torch
        >>> source = TensorTiles(torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3))
        >>> source.read([(slice(0, 2), slice(0, 2)), (slice(0, 2), slice(2, 4))]).tolist()
        [[[[0, 1], [3, 4]]], [[[2, 0], [5, 0]]]]
    """

    def __init__(self, image: Tensor, *, padding: float = 0) -> None:
        if image.ndim < 2 or not image.numel():
            raise ValueError(f"an image must be a tensor (C, *spatial) that isn't empty, got {tuple(image.shape)}")
        self.image = image.as_subclass(Tensor)
        self.padding = parse_padding(padding, image.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`."""
        return tuple(self.image.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the voxels."""
        return self.image.dtype

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
            DataError: voxels that are NaN, infinite or too large for float32, where the tensor is on the CPU.
        """
        starts, size = parse_cells(cells, self.shape)
        patches = self.image.new_full((len(starts), self.shape[0], *size), self.padding)
        for patch, start in zip(patches, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                inside, within = places
                patch[(slice(None), *within)] = self.image[(slice(None), *inside)]
        check_finite(patches, starts, image=IN_MEMORY)
        return patches


def as_tile_source(image: Any, *, padding: float = 0) -> TileSource:
    """A tile source of a tensor or array `(C, *spatial)`; a tile source is returned as it is, with its own padding.

    `open_tiles` makes one of a file.

    Raises:
        ValueError: the image is something else.

    Example:
        >>> import torch
        >>> as_tile_source(torch.zeros(3, 100, 80)).shape
        (3, 100, 80)
    """
    if isinstance(image, Tensor):
        return TensorTiles(image, padding=padding)
    if isinstance(image, np.ndarray):
        return ArrayTiles(image, padding=padding)
    if isinstance(image, TileSource):
        return image
    raise ValueError(f"an image must be a tensor, an array or a tile source, got {type(image).__name__}")
