"""The transform that makes a tile source of whatever file an image of a classification task is in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from PIL import Image, UnidentifiedImageError

from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tile_formats import open_tiles
from monai_patchgrow.data.tiles import TensorTiles, TileSource, as_tile_source

__all__ = ["OpenImaged", "read_picture"]

_PICTURES = (".png", ".jpg", ".jpeg")


class OpenImaged(MapTransform):
    """Replaces the path of an image by its tile source: huge ones are opened, .png and .jpg read whole.

    What is a tensor or an array already, such as a generated image or one that MONAI has loaded, is wrapped.

    Args:
        keys: of paths, tensors or arrays ``(C, *spatial)``.
        channels: of the image; pictures are turned to grey (1) or RGB (3).
        level: of a TIFF's, zarr's or slide's pyramid; 0 is the finest.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: when it is called: no such file, one that can't be read, or other channels.
    """

    def __init__(self, keys: KeysCollection, *, channels: int, level: int = 0, padding: float = 0) -> None:
        super().__init__(keys)
        self.channels, self.level, self.padding = channels, level, padding

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Open the images of one item."""
        opened = dict(data)
        for key in self.key_iterator(opened):
            opened[key] = self._open(opened[key])
            if opened[key].shape[0] != self.channels:
                raise DataError(f"{data[key]}: has {opened[key].shape[0]} channels, the network takes {self.channels}")
        return opened

    def _open(self, image: Any) -> TileSource:
        if not isinstance(image, str | Path):
            return as_tile_source(image, padding=self.padding)
        if Path(image).suffix.lower() in _PICTURES:
            return TensorTiles(read_picture(image, channels=self.channels), padding=self.padding)
        return open_tiles(image, level=self.level, padding=self.padding)


def read_picture(path: str | Path, *, channels: int) -> torch.Tensor:
    """Read a .png or .jpg as ``(channels, rows, columns)`` uint8.

    Raises:
        DataError: no such file, or one that is broken.
    """
    try:
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path}: no picture that can be read ({error})") from None
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).movedim(-1, 0).contiguous()
