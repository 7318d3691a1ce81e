"""Huge images in a data set's items: opened, not loaded, and collated as a list."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch.utils.data import default_collate

from monai_patchgrow.data.tiles.constant import white_value
from monai_patchgrow.data.tiles.painted import PaintedTiles
from monai_patchgrow.data.tiles.source import TileSource
from monai_patchgrow.data.tiles.thumbnail import coarse_thumbnail

__all__ = ["PaintBackgroundd", "collate_tiles"]

_WHITE = 255  # of a byte; it divides 65 535 and 4 294 967 295


class PaintBackgroundd(MapTransform):
    """Paints the background of 2-D tile sources in one colour: see :class:`PaintedTiles`.

    What is background shows a thumbnail of a coarse level of the file; of an image without levels all is read for it.

    Args:
        keys: of tile sources ``(C, rows, columns)``.
        threshold: between background and foreground, of the mean over channels; about 220 for stained slides. In bytes:
            for images of uint16 or uint32 it is scaled to the range of their type, for others it is their own value.
        colour: value of every channel where nothing is, in the same unit; best the sources' padding.
        background: whether background is brighter or darker than the threshold.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles.source import TensorTiles
        >>> item = {"image": TensorTiles(torch.full((3, 8, 8), 243))}
        >>> painted = PaintBackgroundd("image", threshold=220, colour=255)(item)["image"]
        >>> painted.read([(slice(0, 1), slice(0, 1))]).flatten().tolist()
        [255, 255, 255]
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        threshold: float,
        colour: float,
        background: Literal["bright", "dark"] = "bright",
    ) -> None:
        super().__init__(keys)
        self.threshold, self.colour, self.background = threshold, colour, background

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Wrap the images of one item."""
        painted = dict(data)
        for key in self.key_iterator(painted):
            source = painted[key]
            scale = max(white_value(getattr(source, "dtype", torch.uint8)) // _WHITE, 1)
            options: dict[str, Any] = {"threshold": self.threshold * scale, "colour": self.colour * scale}
            coarse = partial(coarse_thumbnail, source)
            painted[key] = PaintedTiles(source, coarse, background=self.background, **options)
        return painted


def collate_tiles(items: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """A batch of items: tile sources as a list, all else as torch collates it.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles.source import TensorTiles
        >>> items = [{"image": TensorTiles(torch.zeros(1, 9, size)), "label": 1} for size in (5, 7)]
        >>> batch = collate_tiles(items)
        >>> [image.shape for image in batch["image"]], batch["label"]
        ([(1, 9, 5), (1, 9, 7)], tensor([1, 1]))
    """
    return {key: _collate([item[key] for item in items]) for key in items[0]}


def _collate(values: list[Any]) -> Any:
    return values if isinstance(values[0], TileSource) else default_collate(values)
