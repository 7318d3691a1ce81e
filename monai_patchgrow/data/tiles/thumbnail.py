"""A small picture of a huge image, averaged block by block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_patchgrow.data.tiles.cells import Cell
from monai_patchgrow.data.tiles.painted import PaintedTiles
from monai_patchgrow.data.tiles.slide import SlideTiles
from monai_patchgrow.data.tiles.source import TileSource
from monai_patchgrow.data.tiles.tiff import TiffTiles

__all__ = ["PlaneTiles", "coarse_thumbnail", "thumbnail"]

_BLOCK_PIXELS = 1024  # per axis, read at a time


class PlaneTiles:
    """One plane across the last axis of a volume as a tile source ``(C, X, Y)``.

    Args:
        volume: a tile source ``(C, X, Y, Z)``.
        at: voxel on the last axis.

    >>> from monai_patchgrow.data.tiles.source import TensorTiles
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

    >>> from monai_patchgrow.data.tiles.source import TensorTiles
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


def coarse_thumbnail(source: TileSource, *, largest: int = 1024) -> Tensor:
    """Average an image down from the coarsest level of its file that has enough pixels: little of it is read.

    All of it is where it has no such levels: it isn't a TIFF or a slide, or already the coarsest. A TIFF's level that
    leaves out tiles which the image has isn't taken.

    Args:
        source: the image ``(C, rows, columns)``, of any level; of one that is painted, what is under the paint.
        largest: pixels of the longer side that the picture must not exceed.

    Returns:
        ``(C, h, w)`` float32.

    >>> from monai_patchgrow.data.tiles.source import TensorTiles
    >>> coarse_thumbnail(TensorTiles(torch.zeros(3, 40, 100)), largest=50).shape
    torch.Size([3, 20, 50])
    """
    if isinstance(source, PaintedTiles):
        return coarse_thumbnail(source.source, largest=largest)
    if isinstance(source, SlideTiles | TiffTiles):
        for level in range(source.num_levels - 1, source.level, -1):
            with type(source)(source.path, level=level, padding=source.padding) as coarser:
                if max(coarser.shape[1:]) >= largest and not _hides_part(coarser, source):
                    return thumbnail(coarser, largest=largest)
    return thumbnail(source, largest=largest)


def _hides_part(coarser: SlideTiles | TiffTiles, source: SlideTiles | TiffTiles) -> bool:
    """Whether a coarser level lacks tiles that the image has; of slides openslide doesn't tell."""
    return isinstance(coarser, TiffTiles) and isinstance(source, TiffTiles) and coarser.lacks_tiles_of(source)
