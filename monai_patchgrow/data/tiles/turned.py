"""A huge image mirrored, or with its axes swapped: cells are turned back to where they lie, patches turned as asked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_patchgrow.data.tiles.cells import Cell, parse_cells
from monai_patchgrow.data.tiles.source import TileSource, as_tile_source

__all__ = ["RandTurnTilesd", "TurnedTiles", "parse_axes", "turn"]


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
        >>> from monai_patchgrow.data.tiles.source import TensorTiles
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


_MIRROR_PROBABILITY = 0.5
_QUARTER_TURNS: tuple[frozenset[int], ...] = (frozenset(), frozenset({0}), frozenset({0, 1}), frozenset({1}))
"""Axes that run backwards after so many quarter turns; after an odd number the two are swapped first."""


class RandTurnTilesd(Randomizable, MapTransform):
    """Mirrors images along each of some axes with probability 0.5, and turns 2-D ones by 0 to 3 quarter turns.

    Mirroring and quarter turns are drawn when an image is loaded and hold for all that is read of it: PatchGD reads a
    patch several times in a pass and must find the same voxels. All keys of an item are turned alike. After a quarter
    turn an image has its sides swapped: one that isn't square, in a batch, needs a head
    that takes images of several sizes.

    Args:
        keys: of tile sources, tensors or arrays `(C, *spatial)`; a tensor stays one, all else becomes a tile source.
        mirror_axes: spatial axes, counted from 0; none where left and right are part of the class.
        rotate90: draw quarter turns too, all four alike; for images of two axes.
        allow_missing_keys: leave out keys that an item doesn't have.

    Raises:
        ValueError: when it is called: an axis that the image doesn't have, or `rotate90` of an image that isn't 2-D.

    Example:
        >>> import torch
        >>> transform = RandTurnTilesd("image", mirror_axes=[1]).set_random_state(seed=1)
        >>> [transform({"image": torch.tensor([[[1, 2, 3]]])})["image"].tolist() for _ in range(2)]
        [[[[3, 2, 1]]], [[[1, 2, 3]]]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        mirror_axes: Sequence[int] = (),
        rotate90: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mirror_axes, self.rotate90 = tuple(mirror_axes), rotate90
        self._mirrored: frozenset[int] = frozenset()
        self._quarter_turns = 0

    def randomize(self, data: Any = None) -> None:
        """Draw the next item's mirroring and quarter turns."""
        drawn = self.R.random_sample(len(self.mirror_axes)) < _MIRROR_PROBABILITY
        self._mirrored = frozenset(axis for axis, is_drawn in zip(self.mirror_axes, drawn, strict=True) if is_drawn)
        self._quarter_turns = int(self.R.randint(len(_QUARTER_TURNS))) if self.rotate90 else 0

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Mirror and turn the images of one item."""
        self.randomize()
        turned = dict(data)
        for key in self.key_iterator(turned):
            turned[key] = self._turn(turned[key])
        return turned

    def _turn(self, image: Any) -> Tensor | TileSource:
        axes = list(range(len(image.shape) - 1))
        parse_axes(self.mirror_axes, spatial_dims=len(axes), name="mirror_axes")
        if self.rotate90 and len(axes) != 2:
            raise ValueError(f"rotate90 turns images of 2 axes, got one of {len(axes)}")
        permutation = axes[::-1] if self._quarter_turns % 2 else axes
        # Mirrored and turned to run backwards is forwards again.
        flips = sorted(_QUARTER_TURNS[self._quarter_turns] ^ self._mirrored)
        if isinstance(image, Tensor):
            return turn(image.as_subclass(Tensor), permutation=permutation, flips=flips)
        source = as_tile_source(image)
        is_turned = bool(flips) or permutation != axes
        return TurnedTiles(source, permutation=permutation, flips=flips) if is_turned else source
