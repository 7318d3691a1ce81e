"""A small picture of a huge image, averaged block by block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_patchgrow.data.tile_cells import Cell
from monai_patchgrow.data.tiles import TileSource

__all__ = ["PlaneTiles", "thumbnail"]

_BLOCK_PIXELS = 1024  # per axis, read at a time


class PlaneTiles:
    """One plane across the last axis of a volume as a tile source ``(C, X, Y)``.

    Args:
        volume: a tile source ``(C, X, Y, Z)``.
        at: voxel on the last axis.

    >>> from monai_patchgrow.data.tiles import TensorTiles
    >>> plane = PlaneTiles(TensorTiles(torch.arange(8).reshape(1, 2, 2, 2)), at=1)
    >>> plane.read([(slice(0, 2), slice(0, 2))]).tolist()
    [[[[1, 3], [5, 7]]]]
    """

    def __init__(self, volume: TileSource, *, at: int) -> None:
        self.volume, self.at = volume, at
        self.shape = tuple(volume.shape[:-1])

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, ``(len(cells), C, *patch)``."""
        return self.volume.read([(*cell, slice(self.at, self.at + 1)) for cell in cells])[..., 0]


def thumbnail(source: TileSource, *, largest: int = 512) -> Tensor:
    """Average an image ``(C, rows, columns)`` down by a whole factor, reading a block of it at a time.

    Args:
        source: the image.
        largest: pixels of the longer side that the picture must not exceed.

    Returns:
        ``(C, h, w)`` float32; a last block that reaches beyond the border has the mean of its padding too.

    >>> from monai_patchgrow.data.tiles import TensorTiles
    >>> thumbnail(TensorTiles(torch.tensor([[[0, 2, 4, 4], [0, 2, 4, 4]]], dtype=torch.uint8)), largest=2).tolist()
    [[[1.0, 4.0]]]
    """
    rows, columns = source.shape[1:]
    factor = max(1, -(-max(rows, columns) // largest))
    step = max(1, _BLOCK_PIXELS // factor) * factor
    height, width = -(-rows // factor), -(-columns // factor)
    picture = torch.empty(source.shape[0], height, width)
    for row in range(0, height * factor, step):
        for column in range(0, width * factor, step):
            down, along = min(step, height * factor - row), min(step, width * factor - column)
            (block,) = source.read([(slice(row, row + down), slice(column, column + along))]).float()
            small = torch.nn.functional.avg_pool2d(block, factor)
            top, left = row // factor, column // factor
            picture[:, top : top + small.shape[1], left : left + small.shape[2]] = small
    return picture
