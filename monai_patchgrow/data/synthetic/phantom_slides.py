"""The phantom slide: a synthetic whole-slide image of any size, drawn only where it is read."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.usable_cpus import usable_cpus
from monai_patchgrow.data.synthetic.phantom_textures import GLASS, PERIOD, TISSUE, textures
from monai_patchgrow.data.tiles.cells import Cell, overlap, parse_cells
from monai_patchgrow.data.tiles.write import write_tiled_tiff
from monai_patchgrow.files import write_whole

__all__ = ["GLASS", "PhantomSlide", "phantom_slide", "write_phantom_slides"]

_GAINS, _SHIFT = (0.8, 1.2), 6.0  # of a slide's stain
_NUM_WAVES, _WAVES_PER_SIDE = 8, (0.5, 2.5)
_TISSUE_SHARE = 0.35
_COARSE = 256  # places per side at which shares are counted


class PhantomSlide:
    """Pieces of stained tissue on glass, `(3, rows, columns)` uint8; a tile source that needs no file.

    A pixel depends on its place and the seed alone, not on the cell that it is read with. Tissue has a texture at
    the scale of nuclei and some noise, so that it compresses about as badly as a slide without loss; about two thirds
    of the slide are glass, all of one value. Tumour has the colours of other tissue in a finer texture. Both textures
    have waves of less than 6 pixels only, which the mean over 12 pixels takes away; a thumbnail shows the uneven stain,
    which is that of all tissue. Each slide is stained a little stronger or weaker than others.

    Args:
        size: rows and columns, pixels; one number for both.
        seed: of the pieces' shapes, one number or several.
        tumour: share of the tissue, 0 to 1, that is tumour.
        padding: the value of pixels beyond the border.

    Raises:
        ValueError: a size below 1, or a share that is none.

    Example:
        >>> slide = PhantomSlide(100_000)
        >>> slide.shape, slide.read([(slice(50_000, 50_256), slice(7_000, 7_256))]).shape
        ((3, 100000, 100000), torch.Size([1, 3, 256, 256]))
    """

    def __init__(
        self, size: int | Sequence[int], *, seed: int | Sequence[int] = 0, tumour: float = 0.0, padding: int = GLASS
    ) -> None:
        rows, columns = (size, size) if isinstance(size, int) else size
        if rows < 1 or columns < 1:
            raise ValueError(f"size must be 1 pixel or more on both axes, got {size}")
        if not 0 <= tumour <= 1:
            raise ValueError(f"tumour is a share from 0 to 1, got {tumour}")
        self.shape = (3, rows, columns)
        self.padding = padding
        rng = np.random.default_rng(seed)
        self._offset = rng.integers(PERIOD, size=2)
        values = np.arange(256)[None] - np.reshape(TISSUE, (3, 1))
        stained = np.reshape(TISSUE, (3, 1)) + rng.uniform(*_GAINS) * values + rng.uniform(-_SHIFT, _SHIFT, (3, 1))
        self._stained = np.clip(np.rint(stained), 0, GLASS - 1).astype(np.uint8)
        self._pieces, self._lesions = _Waves(rng), _Waves(rng)
        side = (np.arange(_COARSE) + 0.5) / _COARSE
        height = self._pieces.height(side, side)
        self._glass_below = float(np.quantile(height, 1 - _TISSUE_SHARE))
        lesion_height = self._lesions.height(side, side)[height > self._glass_below]
        extreme = {0.0: math.inf, 1.0: -math.inf}
        self._tumour_above = extreme.get(tumour) or float(np.quantile(lesion_height, 1 - tumour))

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), 3, *patch)`.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
        """
        starts, size = parse_cells(cells, self.shape)
        patches = np.full((len(starts), 3, *size), self.padding, np.uint8)
        for patch, start in zip(patches, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                (rows, columns), within = places
                patch[(slice(None), *within)] = self._draw(
                    np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
                )
        return torch.from_numpy(patches)

    def shares(self, cells: Sequence[Cell]) -> Tensor:
        """The shares of each cell's pixels that are tissue and that are tumour, `(len(cells), 2)`.

        An evidence map should find the second.

        Raises:
            ValueError: as `read`'s.
        """
        starts, size = parse_cells(cells, self.shape)
        shares = torch.zeros(len(starts), 2)
        for share, start in zip(shares, starts, strict=True):
            if places := overlap(start, size, self.shape[1:]):
                kinds = self._kinds(*(np.arange(one.start, one.stop) for one in places[0]))
                share[:] = torch.tensor([kind.sum() for kind in kinds]) / math.prod(size)
        return shares

    def _draw(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pixels `(3, Y, X)` of these rows and columns."""
        tissue, tumour = self._kinds(rows, columns)
        pixels = np.full((3, len(rows), len(columns)), GLASS, np.uint8)
        if not tissue.any():
            return pixels
        for texture, place in zip(textures(), (tissue & ~tumour, tumour), strict=True):
            down, along = (where + offset for where, offset in zip((rows, columns), self._offset, strict=True))
            np.copyto(pixels, texture.take(down, 1, mode="wrap").take(along, 2, mode="wrap"), where=place)
        for channel, stained in zip(pixels, self._stained, strict=True):
            np.copyto(channel, stained[channel], where=tissue)
        return pixels

    def _kinds(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where there is tissue, and where tumour, `(Y, X)` each."""
        place = rows / self.shape[1], columns / self.shape[2]
        tissue = self._pieces.height(*place) > self._glass_below
        return tissue, tissue & (self._lesions.height(*place) > self._tumour_above)


class _Waves:
    """Random plane waves over the unit square, added up to a smooth height."""

    def __init__(self, rng: np.random.Generator) -> None:
        size = (_NUM_WAVES, 2)
        self._waves = 2 * np.pi * rng.choice([-1, 1], size) * rng.uniform(*_WAVES_PER_SIDE, size)
        self._phases = rng.uniform(0, 2 * np.pi, _NUM_WAVES)

    def height(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The height `(Y, X)` at rows and columns, 0 to 1."""
        down = np.exp(1j * (np.outer(rows, self._waves[:, 0]) + self._phases))
        along = np.exp(1j * np.outer(self._waves[:, 1], columns))
        return (down @ along).real


_LARGEST_SHARE = 0.8  # of tumour, in the highest grade
_ASPECTS = (0.75, 1.0)


def phantom_slide(index: int, *, size: int, num_grades: int, seed: int = 0) -> PhantomSlide:
    """The slide number `index` of :func:`write_phantom_slides`, of grade ``index % num_grades``.

    Args:
        index: from 0.
        size: the longer side, pixels.
        num_grades: at least 2.
        seed: of the whole task.
    """
    share = _LARGEST_SHARE * (index % num_grades) / (num_grades - 1)
    rows = int(size * np.random.default_rng([seed, index]).uniform(*_ASPECTS))
    return PhantomSlide((rows, size), seed=[seed, index], tumour=share)


def write_phantom_slides(
    folder: str | os.PathLike[str],
    *,
    num_slides: int = 48,
    size: int = 1024,
    num_grades: int = 6,
    seed: int = 0,
    tile_size: int = 256,
) -> Path:
    """Write train.csv (image_id, data_provider, isup_grade) and train_images with one tiled TIFF per slide.

    The higher the grade, the more of the tissue is tumour: none at grade 0, four fifths at the highest. Tumour
    differs from other tissue in its texture alone, at full resolution. Grades come in turn; slides are of several
    sizes. A folder that holds these very slides is reused.

    Args:
        folder: to write into; made where it is missing.
        num_slides: number of slides, at least 1.
        size: the longer side of a slide, pixels.
        num_grades: grades are 0 to num_grades - 1.
        seed: of the whole task.
        tile_size: of the TIFFs, pixels; a patch of that size is read without its neighbours.

    Returns:
        The folder.

    Raises:
        ValueError: no slide, fewer than two grades, a size below 16 pixels, a negative seed, or tifffile isn't there.
        DataError: the folder holds something else.
    """
    if num_slides < 1 or num_grades < 2 or size < 16 or seed < 0:
        raise ValueError(
            "there must be 1 slide, 2 grades and 16 pixels or more, and a seed of 0 or more, got num_slides "
            f"{num_slides}, num_grades {num_grades}, size {size} and seed {seed}"
        )
    target = Path(folder)
    names = [f"phantom_{seed}_{size}_{index:03d}" for index in range(num_slides)]
    table = _table(names, num_grades)
    if _holds(target, table, names):
        return target
    (target / "train_images").mkdir(parents=True, exist_ok=True)

    def write(index: int) -> None:
        slide = phantom_slide(index, size=size, num_grades=num_grades, seed=seed)
        write_tiled_tiff(target / "train_images" / f"{names[index]}.tiff", slide, level=1, tile_size=tile_size)

    with ThreadPoolExecutor(usable_cpus()) as pool:
        list(pool.map(write, range(num_slides)))
    write_whole(table, target / "train.csv")  # last: without it the folder isn't complete
    return target


def _table(names: list[str], num_grades: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "data_provider", "isup_grade"])
    writer.writerows([name, "phantom", index % num_grades] for index, name in enumerate(names))
    return text.getvalue()


def _holds(target: Path, table: str, names: list[str]) -> bool:
    """Whether all of the task is there; a folder with other slides is refused."""
    try:
        found = (target / "train.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    if found != table:
        raise DataError(f"{target} holds other slides than these: delete it or name another folder")
    return all((target / "train_images" / f"{name}.tiff").is_file() for name in names)
