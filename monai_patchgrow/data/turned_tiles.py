"""A huge image mirrored, or with its axes swapped: cells are turned back to where they lie, patches turned as asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from monai_patchgrow.data.tile_cells import Cell, parse_cells
from monai_patchgrow.data.tiles import TileSource

__all__ = ["TurnedTiles", "parse_axes", "turn"]


class TurnedTiles:
    """A tile source that shows another one mirrored or turned; nothing is read but the patches that are asked for.

    A quarter turn, as `torch.rot90` turns, is `permutation=(1, 0), flips=(0,)`.

    Args:
        source: the image; voxels beyond its border, its padding, are turned with it.
        permutation: axis i of what is shown is the spatial axis `permutation[i]` of the source; default: the same.
        flips: spatial axes of what is shown that run backwards.

    Raises:
        ValueError: a permutation of other axes than the source's, or an axis to flip that isn't there.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles import TensorTiles
        >>> turned = TurnedTiles(TensorTiles(torch.arange(6).reshape(1, 2, 3)), permutation=(1, 0), flips=(0,))
        >>> turned.shape, turned.read([(slice(0, 3), slice(0, 2))]).tolist()
        ((1, 3, 2), [[[[2, 5], [1, 4], [0, 3]]]])
    """

    def __init__(
        self, source: TileSource, *, permutation: Sequence[int] | None = None, flips: Iterable[int] = ()
    ) -> None:
        axes = tuple(range(len(source.shape) - 1))
        self.source = source
        self.permutation = axes if permutation is None else tuple(permutation)
        if sorted(self.permutation) != list(axes):
            raise ValueError(f"permutation must hold each axis of {axes} once, got {self.permutation}")
        self.flips = parse_axes(flips, spatial_dims=len(axes), name="flips")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`, as shown."""
        channels, *spatial = self.source.shape
        return (channels, *(spatial[axis] for axis in self.permutation))

    @property
    def path(self) -> Any:
        """The source's file, for messages; None where it has none."""
        return getattr(self.source, "path", None)

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
            DataError: a part of a file that can't be read; names its place in the file.
        """
        starts, size = parse_cells(cells, self.shape)
        patches = self.source.read([self._cell_in_source(start, size) for start in starts])
        return turn(patches, permutation=self.permutation, flips=self.flips)

    def _cell_in_source(self, start: Sequence[int], size: Sequence[int]) -> Cell:
        parts = dict[int, slice]()
        for axis, (first, extent, limit) in enumerate(zip(start, size, self.shape[1:], strict=True)):
            low = limit - first - extent if axis in self.flips else first
            parts[self.permutation[axis]] = slice(low, low + extent)
        return tuple(parts[axis] for axis in range(len(parts)))


def turn(image: Tensor, *, permutation: Sequence[int], flips: Sequence[int]) -> Tensor:
    """A copy of an image `(..., *spatial)` with its spatial axes swapped, then flipped, as `TurnedTiles` shows it.

    Example:
        >>> import torch
        >>> turn(torch.tensor([[[0, 1, 2]]]), permutation=(0, 1), flips=(1,)).tolist()
        [[[2, 1, 0]]]
    """
    first = image.ndim - len(permutation)
    axes = [*range(first), *(first + axis for axis in permutation)]
    return image.permute(axes).flip([first + axis for axis in flips])


def parse_axes(axes: Any, *, spatial_dims: int, name: str) -> tuple[int, ...]:
    """Spatial axes of an image, counted from 0.

    Raises:
        ValueError: no list, or an axis that isn't an integer, isn't there or is there twice; names `name`.

    Example:
        >>> parse_axes([1, 0], spatial_dims=2, name="mirror_axes")
        (1, 0)
    """
    known = range(spatial_dims)
    parsed = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    are_axes = all(isinstance(axis, int) and not isinstance(axis, bool) and axis in known for axis in parsed)
    if not isinstance(axes, Iterable) or not are_axes or len(set(parsed)) < len(parsed):
        raise ValueError(f"{name} must be a list of different axes of {list(known)}, got {axes!r}")
    return parsed
