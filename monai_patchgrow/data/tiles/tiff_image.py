"""The tiles of one 2-D image in a TIFF, whose channels lie in one page, or in a page each."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.tiles.cells import overlap
from monai_patchgrow.data.tiles.tiff_meaning import check_meaning

__all__ = ["TiffImage", "pyramid_levels"]


@dataclass
class TiffImage:
    """The tiles (or strips) of one 2-D image in an open file.

    The file is read at given places without a position of its own, so that threads don't disturb each other.

    Attributes:
        shape: `(C, Y, X)`.
        tile: rows and columns of a tile, in pixels.
        planes: how often the image is there: once, or once per channel, or per page of several channels.
        offsets: of the tiles in the file, plane after plane.
        byte_counts: of the tiles.
    """

    descriptor: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    tiled: bool
    planes: int
    offsets: Sequence[int]
    byte_counts: Sequence[int]
    decoder: Callable[[bytes, int], NDArray[Any]]

    @classmethod
    def of(cls, level: Any, path: Path) -> TiffImage:
        """The tiles of one of tifffile's series, whose file must be open, and may be closed later.

        Raises:
            TypeError: samples, a codec or pages that can't be read.
        """
        page, pages = level.keyframe, count_pages(level)
        if page.dtype is None or not page.dataoffsets:
            raise TypeError(f"samples of {page.bitspersample} bits and format {page.sampleformat} are not supported")
        check_meaning(page, path)
        page.decode(None, 0)  # of no data it makes none, unless it knows no codec for the page
        offsets, byte_counts, tables = _segments(level, pages, path)
        strip = min(page.rowsperstrip, page.imagelength), page.imagewidth
        return cls(
            descriptor=os.open(path, os.O_RDONLY),
            shape=(pages * page.samplesperpixel, page.imagelength, page.imagewidth),
            dtype=np.dtype(page.dtype),
            tile=(page.tilelength, page.tilewidth) if page.is_tiled else strip,
            tiled=page.is_tiled,
            planes=pages * (page.samplesperpixel if page.planarconfig == 2 else 1),
            offsets=offsets,
            byte_counts=byte_counts,
            decoder=_decoder(page, tables, per_page=len(offsets) // pages),
        )

    def tiles_under(self, start: Sequence[int], size: Sequence[int]) -> Iterator[int]:
        """Numbers of the tiles of which a cell holds a part."""
        places = overlap(start, size, self.shape[1:])
        if places is None:
            return
        ranges = [range(p.start // t, -(-p.stop // t)) for p, t in zip(places[0], self.tile, strict=True)]
        height, width = self._grid
        for plane, row, column in product(range(self.planes), *ranges):
            yield (plane * height + row) * width + column

    def corner(self, index: int) -> tuple[int, int]:
        """First row and column of a tile, in pixels."""
        height, width = self._grid
        row, column = divmod(index % (height * width), width)
        return row * self.tile[0], column * self.tile[1]

    def extent(self, index: int) -> tuple[int, int]:
        """Rows and columns of a tile within the image's border."""
        row, column = self.corner(index)
        return min(self.tile[0], self.shape[1] - row), min(self.tile[1], self.shape[2] - column)

    def channels(self, index: int) -> slice:
        """Which channels a tile holds."""
        height, width = self._grid
        plane, each = index // (height * width), self.shape[0] // self.planes
        return slice(plane * each, (plane + 1) * each)

    @property
    def tile_bytes(self) -> int:
        """Bytes that a decoded tile takes."""
        return math.prod(self.tile) * (self.shape[0] // self.planes) * self.dtype.itemsize

    def leaves_out(self, index: int) -> bool:
        """Whether the file holds nothing in the place of a tile, as scanners do where there is only glass."""
        return not self.byte_counts[index] or not self.offsets[index]

    def decode(self, index: int) -> NDArray[Any]:
        """A tile that isn't left out, `(C, Y, X)`, without what lies beyond the image's border.

        Raises:
            Exception: of many types, each codec has its own.
        """
        rows, columns = self.extent(index)
        count = self.byte_counts[index]
        data = os.pread(self.descriptor, count, self.offsets[index])
        if len(data) < count:
            raise ValueError(f"the file ends {count - len(data)} bytes too early")
        return self.decoder(data, index)[:rows, :columns].transpose(2, 0, 1)

    def lacks_tiles_of(self, finer: TiffImage) -> bool:
        """Whether this image, a coarser one of the same, leaves out tiles where `finer` has some."""
        for index in filter(self.leaves_out, range(len(self.byte_counts))):
            start, size = [], []
            for first, extent, own, other in zip(
                self.corner(index), self.extent(index), self.shape[1:], finer.shape[1:], strict=True
            ):
                # Levels are rounded to whole pixels: a pixel at each side may belong to the next tile.
                low, high = (first + 1) * other // own, (first + extent - 1) * other // own
                start.append(low)
                size.append(high - low)
            if min(size) > 0 and not all(map(finer.leaves_out, finer.tiles_under(start, size))):
                return True
        return False

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def __del__(self) -> None:
        self.close()

    @property
    def _grid(self) -> tuple[int, int]:
        """Tiles per column and per row of the image."""
        return -(-self.shape[1] // self.tile[0]), -(-self.shape[2] // self.tile[1])


def pyramid_levels(tiff: Any) -> list[Any]:
    """The series of the first image's pyramid, the finest first; they may be sub-images of it or its successors.

    Raises:
        TypeError: an image of more than two axes beside its channels.
    """
    series = tiff.series[0]
    if len(series.levels) == 1:
        smaller = [other for other in tiff.series[1:] if other.keyframe.is_reduced and other.keyframe.is_tiled]
        levels = [series, *smaller]
    else:
        levels = list(series.levels)
    for level in levels:
        count_pages(level)
    return levels


def count_pages(level: Any) -> int:
    """How many pages hold the channels of an image: one all of them, or each one of its own.

    Raises:
        TypeError: the pages are more than channels, such as planes of a volume or points in time.
    """
    page = level.keyframe
    count = math.prod(level.shape) // max(math.prod(page.shape), 1)
    is_plane = page.imagedepth == 1 and (count == 1 or (level.axes[:1] == "C" and level.shape[0] == count))
    if not is_plane:
        raise TypeError(
            f"axes {level.axes} of shape {level.shape}: one 2-D page with its channels is needed, or one page per "
            "channel, as OME's axis C; of a stack save one plane"
        )
    return count


def _segments(level: Any, count: int, path: Path) -> tuple[list[int], list[int], list[bytes | None]]:
    """Offsets and byte counts of the tiles of all pages, and each page's tables for JPEG."""
    page = level.keyframe
    pages = [page] if count == 1 else _pages_of_channels(level, count)
    if pages is None:  # planes that follow one another, of which the file describes the first
        first = level[0]
        offsets = [offset + number * page.nbytes for number in range(count) for offset in first.dataoffsets]
        return offsets, list(first.databytecounts) * count, [None] * count
    places = {Path(one.parent.filehandle.path).resolve() for one in pages}
    if places != {path.resolve()}:
        raise TypeError(
            f"its channels lie in {', '.join(sorted(place.name for place in places))}: save them in one file"
        )
    # A frame has the byte counts of another page where tifffile takes its tiles to follow one another.
    pages = [one.aspage() for one in pages]
    offsets = [offset for one in pages for offset in one.dataoffsets]
    byte_counts = [size for one in pages for size in one.databytecounts]
    if len(offsets) % count:
        raise TypeError(f"{len(offsets)} tiles don't make {count} pages")
    return offsets, byte_counts, [one.jpegtables for one in pages]


def _pages_of_channels(level: Any, count: int) -> list[Any] | None:
    """The page of each channel, as the file has it; None where the first page stands for all.

    Raises:
        TypeError: a page that is missing.
    """
    try:
        pages = [level[number] for number in range(count)]
    except IndexError:
        pages = []
    if not pages or any(one is not None and one.is_frame and one.is_virtual for one in pages):
        if level.dataoffset is None:
            raise TypeError(f"pages of {count} channels are missing")
        return None
    if None in pages:
        raise TypeError(f"the page of channel {pages.index(None)} is missing")
    return pages


def _decoder(page: Any, tables: Sequence[bytes | None], *, per_page: int) -> Callable[[bytes, int], NDArray[Any]]:
    """What decodes a tile's bytes, with its number, to `(Y, X, C)`."""
    decode, header = page.decode, page.jpegheader  # made on first use, for which the page's file must be open

    def decode_tile(data: bytes, index: int) -> NDArray[Any]:
        number, place = divmod(index, per_page)
        values, _, _ = decode(data, place, jpegtables=tables[number], jpegheader=header)
        return values[0]

    return decode_tile
