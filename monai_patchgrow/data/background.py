"""Which cells of an image are background: those that are all alike, and those that a coarse look finds empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from monai_patchgrow.data.tiles import TileSource

if TYPE_CHECKING:
    from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["background_cells", "constant_cells", "share_cells"]


def constant_cells(
    source: TileSource, grid: PatchGrid, *, candidates: Iterable[int] | None = None, chunk_size: int = 32
) -> tuple[tuple[int, ...], ...]:
    """Groups of cells that hold one and the same constant, per channel: as empty glass, or black background, does.

    The voxels of all cells of a group are equal, so that an encoder that treats every patch alone and
    without chance gives all of them the same latent: encoding one is exact (`share_cells`). That holds neither for
    an encoder with active dropout nor for batch norm in train mode, which sees the other patches of its chunk.

    Args:
        source: the image, `(C, *spatial)`.
        grid: its cells.
        candidates: cells to look at, such as those of `background_cells`, to read less; default: all.
        chunk_size: cells that are read at once.

    Returns:
        Groups of at least two cells, row-major numbers in ascending order.

    Raises:
        DataError: a part of the image that can't be read.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles import TensorTiles
        >>> from monai_patchgrow.schedules.patch_grid import PatchGrid
        >>> image = torch.tensor([[0, 0, 5, 6, 0, 0, 7, 7]])
        >>> constant_cells(TensorTiles(image), PatchGrid((8,), (2,)))
        ((0, 2),)
    """
    numbers = range(grid.num_cells) if candidates is None else sorted(set(candidates))
    groups = defaultdict(list)
    for first in range(0, len(numbers), chunk_size):
        chunk = numbers[first : first + chunk_size]
        for cell, patch in zip(chunk, source.read([grid.slices(cell) for cell in chunk]), strict=True):
            voxels = patch.flatten(1)
            if bool((voxels == voxels[:, :1]).all()):
                groups[tuple(voxels[:, 0].tolist())].append(cell)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def share_cells(cells: Sequence[int], groups: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Which of a chunk's cells to encode when those of a group share one latent.

    `encoder(patches of the first list)[second list]` are the latents of all cells, in order; gradients of cells that
    share a latent add up on their own.

    Args:
        cells: of one image's chunk.
        groups: as `constant_cells` gives them.

    Returns:
        The cells to encode, and per cell the row of its latent.

    Example:
        >>> share_cells([3, 0, 2, 1], groups=[(0, 1, 2)])
        ([3, 0], [0, 1, 1, 1])
    """
    group_of = {cell: number for number, group in enumerate(groups) for cell in group}
    rows: dict[tuple[str, int], int] = {}
    encoded, latents = list[int](), list[int]()
    for cell in cells:
        key = ("group", group_of[cell]) if cell in group_of else ("cell", cell)
        if key not in rows:
            rows[key] = len(encoded)
            encoded.append(cell)
        latents.append(rows[key])
    return encoded, latents


def background_cells(
    coarse: TileSource,
    grid: PatchGrid,
    *,
    threshold: float,
    background: Literal["bright", "dark"] = "bright",
    max_foreground: float = 0.0,
) -> tuple[int, ...]:
    """Cells with no more than a share of foreground on a coarse version of the image, such as a slide's last level.

    Leaving these cells out is not exact: what the threshold or the coarse level misses is lost. As `candidates` of
    `constant_cells` they only save reading.

    Args:
        coarse: the same image with fewer voxels, `(C, *spatial)`; it is read whole.
        grid: of the full image.
        threshold: between background and foreground, of the mean over channels; itself it is background.
        background: whether background is brighter than the threshold, as on a slide, or darker, as in a scan.
        max_foreground: share of a cell's coarse voxels, 0 to 1, that may be foreground.

    Returns:
        Row-major numbers, ascending.

    Raises:
        ValueError: max_foreground below 0 or above 1, another word for background, or other axes than the grid's.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles import TensorTiles
        >>> from monai_patchgrow.schedules.patch_grid import PatchGrid
        >>> thumbnail = torch.tensor([[250, 250, 90, 250]])
        >>> background_cells(TensorTiles(thumbnail), PatchGrid((400,), (100,)), threshold=200)
        (0, 1, 3)
    """
    if not 0 <= max_foreground <= 1:
        raise ValueError(f"max_foreground is a share from 0 to 1, got {max_foreground}")
    if background not in ("bright", "dark"):
        raise ValueError(f"background must be 'bright' or 'dark', got {background!r}")
    sizes = coarse.shape[1:]
    if len(sizes) != len(grid.image_size):
        raise ValueError(f"the coarse image must have {len(grid.image_size)} spatial axes, got {len(sizes)}")
    mean = coarse.read([tuple(slice(0, size) for size in sizes)])[0].double().mean(0)
    foreground = mean < threshold if background == "bright" else mean > threshold
    shares = (_share(foreground, grid, cell) for cell in range(grid.num_cells))
    return tuple(cell for cell, share in enumerate(shares) if share <= max_foreground)


def _share(foreground: Tensor, grid: PatchGrid, cell: int) -> float:
    """Share of the coarse voxels, wholly or partly under a cell, that are foreground."""
    parts = zip(grid.covers(cell), foreground.shape, grid.image_size, strict=True)
    under = tuple(slice(part.start * n // size, -(-part.stop * n // size)) for part, n, size in parts)
    return float(foreground[under].double().mean())
