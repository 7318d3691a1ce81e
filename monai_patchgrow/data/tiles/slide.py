"""Patches of a whole-slide image, by openslide."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.size_limit import check_size
from monai_patchgrow.data.tiles.cells import format_cell, overlap
from monai_patchgrow.data.tiles.file import FileTiles, import_reader

__all__ = ["SlideTiles"]

_CHANNELS = 3


class SlideTiles(FileTiles):
    """RGB patches of one level of a slide in any format that openslide reads; `(3, rows, columns)`, uint8.

    Where a slide holds nothing (a scanner may leave out glass), there is padding too. Openslide finds a place on a
    coarser level to within a pixel of that level.

    Args:
        path: of the slide.
        level: of the slide's pyramid; 0 is the finest.
        padding: the value of voxels beyond the border; 255 is white glass.

    Attributes:
        num_levels: of the slide's pyramid.

    Raises:
        DataError: no such file or level, no slide, tiles that are larger than `PATCHGROW_MAX_FILE_GIB` allows, or (when
            reading) a part that can't be decoded.
        ValueError: openslide isn't installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, level: int = 0, padding: float = 0) -> None:
        self.level = level
        super().__init__(path, padding=padding)

    def _open(self) -> Any:
        openslide = import_reader("openslide", extra="slides", path=self.path)
        try:
            slide = openslide.OpenSlide(str(self.path))
        except openslide.OpenSlideError as error:
            raise self._error(f"no slide that openslide reads ({error})") from None
        self.num_levels = slide.level_count
        if self.level not in range(self.num_levels):
            slide.close()
            raise self._error(f"no level {self.level}: it has {self.num_levels}, and the finest is 0")
        return slide

    def _describe(self, handle: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        sides = [handle.properties.get(f"openslide.level[{self.level}].tile-{side}", 0) for side in ("height", "width")]
        # A tile is decoded as a whole, to four bytes a pixel.
        check_size(self.path, 4 * math.prod(map(int, sides)), stored=os.path.getsize(self.path), what="one tile")
        columns, rows = handle.level_dimensions[self.level]
        return (_CHANNELS, rows, columns), np.dtype(np.uint8)

    def _fill(self, handle: Any, patches: NDArray[Any], starts: Sequence[tuple[int, ...]]) -> None:
        size = patches.shape[2:]
        for patch, start in zip(patches, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                (rows, columns), within = places
                pixels = self._region(handle, rows, columns, format_cell(start, size))
                colours, there = pixels[..., :_CHANNELS], pixels[..., _CHANNELS:] > 0
                if not there.all():
                    colours = np.where(there, colours, np.uint8(self.padding))
                patch[(slice(None), *within)] = colours.transpose(2, 0, 1)

    def _region(self, handle: Any, rows: slice, columns: slice, place: str) -> NDArray[np.uint8]:
        """Pixels `(Y, X, RGBA)`; openslide takes the place on the finest level, and the size on this one."""
        scale = handle.level_downsamples[self.level]
        corner = round(columns.start * scale), round(rows.start * scale)
        size = columns.stop - columns.start, rows.stop - rows.start
        try:
            return np.asarray(handle.read_region(corner, self.level, size))
        except Exception as error:
            self.close()  # openslide refuses all else after an error: the next read opens the slide again
            message = f"{self.path}: the part at {place} of level {self.level} can't be decoded ({error})"
            raise DataError(message, rule="tile-damaged") from None
