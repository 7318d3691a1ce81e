"""An image whose background is painted in one colour, and not read where a coarse version of it finds only that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_patchgrow.data.tiles.cells import Cell, parse_cells, parse_padding
from monai_patchgrow.data.tiles.source import TileSource

__all__ = ["PaintedTiles"]


class PaintedTiles:
    """A tile source whose empty cells are filled with one colour instead of being read.

    A cell is empty where no voxel of the coarse image under it or beside it is foreground (beside: a pyramid's levels
    are rounded to whole pixels). This changes the image: glass that isn't quite of one colour becomes so, and what is
    too small or too pale for the coarse image is lost. All other cells are read as they are. Painted cells are all
    alike, so that `merge_constant_patches` has one encoded for all of them.

    It can be pickled where its parts can. The coarse image is made at the first read, once per process.

    Args:
        source: the image, `(C, *spatial)`.
        coarse: makes the same image with fewer voxels, `(C, *coarse)`, such as ``partial(coarse_thumbnail, source)``.
        threshold: between background and foreground, of the mean over channels; itself it is background.
        background: whether background is brighter than the threshold, as on a slide, or darker, as in a scan.
        colour: value of every channel in an empty cell, also beyond the border; best the source's padding.

    Raises:
        ValueError: another word for background; when reading, a colour that the image's type can't hold, or a coarse
            image of other axes.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles.source import TensorTiles
        >>> image = torch.tensor([[9, 8, 9, 9, 9, 8, 1, 0]])
        >>> painted = PaintedTiles(TensorTiles(image), lambda: image[:, ::2], threshold=7, colour=9)
        >>> painted.read([(slice(0, 2),), (slice(4, 6),), (slice(6, 8),)]).tolist()
        [[[9, 9]], [[9, 8]], [[1, 0]]]
    """

    def __init__(
        self,
        source: TileSource,
        coarse: Callable[[], Tensor],
        *,
        threshold: float,
        colour: float,
        background: Literal["bright", "dark"] = "bright",
    ) -> None:
        if background not in ("bright", "dark"):
            raise ValueError(f"background must be 'bright' or 'dark', got {background!r}")
        self.source, self.coarse = source, coarse
        self.threshold, self.colour, self.background = threshold, colour, background
        self._foreground: NDArray[np.bool_] | None = None
        self._voxel: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`."""
        return self.source.shape

    @property
    def path(self) -> Path | None:
        """The file that the image is in, where there is one."""
        return getattr(self.source, "path", None)

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
            DataError: a part of the file that can't be read.
        """
        starts, size = parse_cells(cells, self.shape)
        foreground = self._find_foreground()
        full = [number for number, start in enumerate(starts) if self._under(foreground, start, size).any()]
        if len(full) == len(cells):
            return self.source.read(cells)
        patches = self._blank(len(cells), size)
        if full:
            for number, patch in zip(full, self.source.read([cells[number] for number in full]), strict=True):
                patches[number] = patch  # one by one: torch has no index_put of uint16
        return patches

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_foreground": None, "_voxel": None}

    def _find_foreground(self) -> NDArray[np.bool_]:
        """Of the coarse image."""
        if self._foreground is None:
            coarse = self.coarse()
            if coarse.ndim != len(self.shape):
                raise ValueError(
                    f"the coarse image must have {len(self.shape) - 1} spatial axes, got {coarse.ndim - 1}"
                )
            mean = coarse.double().mean(0)
            is_foreground = mean < self.threshold if self.background == "bright" else mean > self.threshold
            self._foreground = is_foreground.cpu().numpy()
        return self._foreground

    def _under(self, foreground: NDArray[np.bool_], start: Sequence[int], size: Sequence[int]) -> NDArray[np.bool_]:
        """The coarse voxels wholly or partly under a cell, and those beside them; none beyond the border."""
        under = []
        for first, extent, voxels, limit in zip(start, size, foreground.shape, self.shape[1:], strict=True):
            low, high = first * voxels // limit - 1, -(-(first + extent) * voxels // limit) + 1
            under.append(slice(max(low, 0), max(high, 0)))
        return foreground[tuple(under)]

    def _blank(self, count: int, size: Sequence[int]) -> Tensor:
        """Painted patches, in the type and on the device of the image's voxels: one of them is read to know."""
        if self._voxel is None:
            voxel = self.source.read([tuple(slice(0, 1) for _ in size)])
            parse_padding(self.colour, voxel.dtype, name="colour")
            self._voxel = voxel
        return self._voxel.new_full((count, self.shape[0], *size), self.colour)
