"""The transform that makes a tile source of whatever file an image of a classification task is in."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTrait
from PIL import Image, UnidentifiedImageError

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.suffixes import ARRAYS, PICTURES, SLIDES, TIFFS, split_suffix
from monai_patchgrow.data.tiles.array import MemmapTiles, ZarrTiles
from monai_patchgrow.data.tiles.cells import parse_padding
from monai_patchgrow.data.tiles.constant import white_value
from monai_patchgrow.data.tiles.file import FileTiles, check_readable, reason_of
from monai_patchgrow.data.tiles.slide import SlideTiles
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource, as_tile_source
from monai_patchgrow.data.tiles.tiff import TiffTiles

__all__ = ["OpenImaged", "open_tiles", "read_picture"]


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
                raise DataError(f"{file}has {found} channels, the network takes {self.channels}", rule="channel-count")
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
        scale = white_value(source.dtype)
        source.padding = parse_padding(self.padding if scale == 1 else round(self.padding * scale), source.dtype)
        return source


def read_picture(path: str | Path, *, channels: int) -> torch.Tensor:
    """Read a .png or .jpg as ``(channels, rows, columns)``: uint8, or uint16 where a grey one has 16 bits.

    Raises:
        DataError: no such file, one that this user may not read, or one that is broken.
    """
    check_readable(path)
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I"):  # Pillow's own conversion would cut all above 255
                grey = np.array(picture).astype(np.uint16)
                pixels = np.repeat(grey[..., None], channels, axis=-1)
            else:
                pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {reason_of(error, otherwise='no picture that can be read')}") from None
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).movedim(-1, 0).contiguous()


def open_tiles(
    path: str | os.PathLike[str], *, level: int = 0, channel_dim: int | None = 0, padding: float = 0
) -> FileTiles:
    """The tile source of a file: .npy, .zarr, .tif and .tiff (tiled), and the suffixes of slides by openslide.

    Args:
        path: of the file, or of the folder of a zarr.
        level: of a TIFF's, zarr's or slide's pyramid; 0 is the finest.
        channel_dim: axis of the channels in a .npy or .zarr; None: there is none.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: no such file, another suffix, or a file that can't be read.
        ValueError: the library that reads it isn't installed.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/image.npy", np.zeros((3, 40, 50), np.uint8))
        ...     open_tiles(f"{folder}/image.npy").shape
        (3, 40, 50)
    """
    suffix = split_suffix(Path(path).name)[1]
    if suffix == ".npy":
        if level:
            raise DataError(f"{path}: no level {level}: a .npy has only level 0")
        return MemmapTiles(path, channel_dim=channel_dim, padding=padding)
    if suffix == ".zarr":
        return ZarrTiles(path, level=level, channel_dim=channel_dim, padding=padding)
    if suffix in TIFFS:
        return TiffTiles(path, level=level, padding=padding)
    if suffix in SLIDES:
        return SlideTiles(path, level=level, padding=padding)
    known = " ".join((*ARRAYS, *TIFFS, *SLIDES))
    raise DataError(f"{path}: no tile source for the suffix {Path(path).suffix!r}: known are {known}")
