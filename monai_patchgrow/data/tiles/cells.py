"""Where patches lie in a huge image: cells, tuples of slices that may reach beyond its border, as integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

__all__ = ["Cell", "format_cell", "overlap", "parse_cells", "parse_padding"]

Cell: TypeAlias = tuple[slice, ...]
"""One slice per spatial axis, in voxels of the image; below 0 and beyond the image there is padding."""

Starts: TypeAlias = list[tuple[int, ...]]


def parse_cells(cells: Sequence[Cell], shape: Sequence[int]) -> tuple[Starts, tuple[int, ...]]:
    """First voxels of cells, and the size that all of them have.

    Args:
        cells: at least one; slices without a step, all cells of one size.
        shape: of the image, `(C, *spatial)`.

    Raises:
        ValueError: anything else.

    Example:
        >>> parse_cells([(slice(0, 4), slice(6, 10)), (slice(4, 8), slice(0, 4))], (3, 10, 8))
        ([(0, 6), (4, 0)], (4, 4))
    """
    if not len(cells):
        raise ValueError("no cells to read: give at least one")
    spatial = len(shape) - 1
    starts, sizes = [], set()
    for cell in cells:
        if len(cell) != spatial or not all(_is_span(part) for part in cell):
            raise ValueError(f"a cell is {spatial} slices with start below stop and no step, got {cell}")
        starts.append(tuple(int(part.start) for part in cell))
        sizes.add(tuple(int(part.stop - part.start) for part in cell))
    if len(sizes) > 1:
        raise ValueError(f"cells that are read together have one size, got {sorted(sizes)}")
    return starts, sizes.pop()


def overlap(start: Sequence[int], size: Sequence[int], limits: Sequence[int]) -> tuple[Cell, Cell] | None:
    """What of a cell lies inside the image: as slices of the image, then of the patch; None where nothing does.

    Example:
        >>> overlap((-1, 6), (4, 4), (10, 8))
        ((slice(0, 3, None), slice(6, 8, None)), (slice(1, 4, None), slice(0, 2, None)))
    """
    lows = [max(first, 0) for first in start]
    highs = [min(first + extent, limit) for first, extent, limit in zip(start, size, limits, strict=True)]
    if any(low >= high for low, high in zip(lows, highs, strict=True)):
        return None
    inside = tuple(slice(low, high) for low, high in zip(lows, highs, strict=True))
    within = tuple(slice(part.start - first, part.stop - first) for part, first in zip(inside, start, strict=True))
    return inside, within


def format_cell(start: Sequence[int], size: Sequence[int]) -> str:
    """A place in an image, for messages.

    Example:
        >>> format_cell((0, 256), (256, 256))
        '[0:256, 256:512]'
    """
    return f"[{', '.join(f'{first}:{first + extent}' for first, extent in zip(start, size, strict=True))}]"


def parse_padding(padding: float, dtype: torch.dtype, *, name: str = "padding") -> float:
    """The padding, or another value, where voxels of that type can hold it.

    Raises:
        ValueError: they can't.
    """
    if not dtype.is_floating_point and torch.tensor(padding, dtype=torch.float64).to(dtype).item() != padding:
        raise ValueError(f"{name} must be a value that {dtype} holds, got {padding}")
    return padding


def _is_span(part: slice) -> bool:
    return part.start is not None and part.stop is not None and part.start < part.stop and part.step in (None, 1)
