"""Patches of a tiled TIFF, of which only the tiles under them are read and decoded."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.file_tiles import FileTiles, import_reader
from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tiff_page import TiffPage, pyramid_pages
from monai_patchgrow.data.tile_cells import format_cell, overlap

__all__ = ["TiffTiles"]

_logger = logging.getLogger(__name__)


class TiffTiles(FileTiles):
    """Patches of one level of a tiled TIFF: 2-D, grey or with channels, also a pyramid, BigTIFF, OME or SVS.

    A tile is decoded once per `read`, by tifffile and imagecodecs, in the thread that reads. Patches that lie on
    the tiles' own grid cost least.

    Args:
        path: of the file.
        level: of the pyramid; 0 is the finest.
        padding: the value of voxels beyond the border.

    Attributes:
        num_levels: of the file's pyramid; 1 where there is none.

    Raises:
        DataError: no such file or level, no 2-D image, or (when reading) a tile that can't be decoded.
        ValueError: tifffile or imagecodecs isn't installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, level: int = 0, padding: float = 0) -> None:
        self.level = level
        super().__init__(path, padding=padding)
        if not self._opened().tiled:
            _logger.warning("%s: has strips instead of tiles: every patch decodes whole rows of the image", self.path)

    def _open(self) -> TiffPage:
        tifffile = import_reader("tifffile", extra="tiff", path=self.path)
        import_reader("imagecodecs", extra="tiff", path=self.path)
        try:
            with tifffile.TiffFile(self.path) as tiff:
                pages = pyramid_pages(tiff)
                self.num_levels = len(pages)
                if self.level not in range(len(pages)):
                    raise self._error(f"no level {self.level}: it has {len(pages)}, and the finest is 0")
                return TiffPage.of(pages[self.level], self.path)
        except DataError:
            raise
        except Exception as error:  # of many types: it depends on what is broken
            raise self._error(f"no TIFF image that can be read ({error})") from None

    def _describe(self, handle: TiffPage) -> tuple[tuple[int, ...], np.dtype[Any]]:
        return handle.shape, handle.dtype

    def _fill(self, handle: TiffPage, patches: NDArray[Any], starts: Sequence[tuple[int, ...]]) -> None:
        size = patches.shape[2:]
        users = defaultdict(list)
        for patch, start in zip(patches, starts, strict=True):
            for index in handle.tiles_under(start, size):
                users[index].append((patch, start))
        for index in sorted(users):
            values, corner = self._decode(handle, index), handle.corner(index)
            for patch, start in users[index]:
                _paste(patch[handle.channels(index)], start, values, corner)

    def _decode(self, handle: TiffPage, index: int) -> NDArray[Any]:
        try:
            return handle.decode(index)
        except Exception as error:  # each codec has its own
            place = format_cell(handle.corner(index), handle.tile)
            reason = str(error) or type(error).__name__
            raise self._error(f"the tile at {place} of level {self.level} can't be decoded ({reason})") from None


def _paste(patch: NDArray[Any], start: Sequence[int], values: NDArray[Any], corner: tuple[int, int]) -> None:
    """Write the common part of a tile `(C, Y, X)` and a patch `(C, Y, X)` into the patch."""
    relative = [first - origin for first, origin in zip(start, corner, strict=True)]
    if places := overlap(relative, patch.shape[1:], values.shape[1:]):
        inside, within = places
        patch[(slice(None), *within)] = values[(slice(None), *inside)]
