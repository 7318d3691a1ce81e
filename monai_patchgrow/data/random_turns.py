"""The transform that mirrors and turns an image by chance, once per image and epoch, without reading it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_patchgrow.data.tiles import TileSource, as_tile_source
from monai_patchgrow.data.turned_tiles import TurnedTiles, parse_axes, turn

__all__ = ["RandTurnTilesd"]

_MIRROR_PROBABILITY = 0.5
_QUARTER_TURNS: tuple[frozenset[int], ...] = (frozenset(), frozenset({0}), frozenset({0, 1}), frozenset({1}))
"""Axes that run backwards after so many quarter turns; after an odd number the two are swapped first."""


class RandTurnTilesd(Randomizable, MapTransform):
    """Mirrors images along each of some axes with probability 0.5, and turns 2-D ones by 0 to 3 quarter turns.

    A turn is drawn when an image is loaded and holds for all that is read of it: PatchGD reads a patch several
    times in a pass and must find the same voxels. All keys of an item are turned alike. After a quarter turn an
    image has its sides swapped: one that isn't square, in a batch, needs a head that takes images of several sizes.

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
        """Draw the next item's turn."""
        drawn = self.R.random_sample(len(self.mirror_axes)) < _MIRROR_PROBABILITY
        self._mirrored = frozenset(axis for axis, is_drawn in zip(self.mirror_axes, drawn, strict=True) if is_drawn)
        self._quarter_turns = int(self.R.randint(len(_QUARTER_TURNS))) if self.rotate90 else 0

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the images of one item."""
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
