"""The transform that makes a tile source of whatever file an image of a classification task is in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTrait
from PIL import Image, UnidentifiedImageError

from monai_patchgrow.data.full_scale import full_scale
from monai_patchgrow.data.image_suffixes import PICTURES, split_suffix
from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tile_cells import parse_padding
from monai_patchgrow.data.tile_formats import open_tiles
from monai_patchgrow.data.tiles import TensorTiles, TileSource, as_tile_source

__all__ = ["OpenImaged", "read_picture"]


class OpenImaged(MapTransform, RandomizableTrait):
    """Replaces the path of an image by its tile source: huge ones are opened, .png and .jpg read whole.

    What is a tensor or an array already, such as a generated image or one that MONAI has loaded, is wrapped. Nothing
    about it is random; the trait tells data sets that cache, such as :class:`PreprocessedDataset`, to stop before it.

    Args:
        keys: of paths, tensors or arrays ``(C, *spatial)``.
        channels: of the image; pictures are turned to grey (1) or RGB (3).
        level: of a TIFF's, zarr's or slide's pyramid; 0 is the finest.
        padding: beyond the border, as the network gets it: 1 is white where voxels are unsigned integers, which it is
            given as 0 to 1; of signed integers and floats it is their own value. A tile source keeps its own.

    Raises:
        DataError: when it is called: no such file, one that can't be read, or other channels.
        ValueError: when it is called: a padding that the image's type can't hold.
    """

    def __init__(self, keys: KeysCollection, *, channels: int, level: int = 0, padding: float = 0) -> None:
        super().__init__(keys)
        self.channels, self.level, self.padding = channels, level, padding

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Open the images of one item."""
        opened = dict(data)
        for key in self.key_iterator(opened):
            opened[key] = self._open(opened[key])
            if (found := opened[key].shape[0]) != self.channels:
                file = f"{data[key]}: " if isinstance(data[key], str | Path) else ""
                raise DataError(f"{file}has {found} channels, the network takes {self.channels}")
        return opened

    def _open(self, image: Any) -> TileSource:
        if isinstance(image, TileSource):
            return image
        source: Any
        if not isinstance(image, str | Path):
            source = as_tile_source(image)
        elif split_suffix(Path(image).name)[1] in PICTURES:
            source = TensorTiles(read_picture(image, channels=self.channels))
        else:
            source = open_tiles(image, level=self.level)
        scale = full_scale(source.dtype)
        source.padding = parse_padding(self.padding if scale == 1 else round(self.padding * scale), source.dtype)
        return source


def read_picture(path: str | Path, *, channels: int) -> torch.Tensor:
    """Read a .png or .jpg as ``(channels, rows, columns)``: uint8, or uint16 where a grey one has 16 bits.

    Raises:
        DataError: no such file, or one that is broken.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I"):  # Pillow's own conversion would cut all above 255
                grey = np.array(picture).astype(np.uint16)
                pixels = np.repeat(grey[..., None], channels, axis=-1)
            else:
                pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path}: no picture that can be read ({error})") from None
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).movedim(-1, 0).contiguous()
