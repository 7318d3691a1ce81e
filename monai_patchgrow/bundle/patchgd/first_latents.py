"""Fits an encoder's fresh weights to patches of the training images, before a classification bundle's first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.patchgd.images import name_fault
from monai_patchgrow.bundle.patchgd.settings import ClassificationSettings
from monai_patchgrow.data.tiles.source import as_tile_source
from monai_patchgrow.engines.patchgd.model import to_device
from monai_patchgrow.networks.encoders import standard_latents
from monai_patchgrow.schedules import PatchGrid

__all__ = ["standardise_latents"]

_IMAGES, _PATCHES, _TRIED = 16, 8, 64  # images that are looked at; patches of each, out of so many that are read


def standardise_latents(
    network: Any, split: tuple[Any, Any], preprocessing: Callable[[Any], Any], settings: ClassificationSettings
) -> None:
    """Scale the encoder's last layer to the training images, where the settings say so.

    Up to 8 patches of up to 16 images are read, evenly spaced, none of them of one value; nothing is drawn. A run that
    is resumed takes its checkpoint's weights after this.

    Args:
        network: with ``encoder``; see :func:`monai_patchgrow.networks.encoders.standard_latents.standardise_latents`.
        split: of the data, training images first.
        preprocessing: makes an item's image a tile source, a tensor or an array.
        settings: of the running config.

    Raises:
        SystemExit: an encoder that doesn't end on a linear layer, or images without two patches that are not of one
            value, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    if not settings.standardise_latents:
        return
    with one_line_config_errors():
        patches = list(_some_patches(split[0], preprocessing, settings))
        if len(patches) < 2:
            raise ValueError("standardise_latents: fewer than two patches of the training images are not of one value")
        weight = next(network.encoder.parameters())
        inputs = to_device(torch.cat(patches), device=weight.device, dtype=weight.dtype)
        standard_latents.standardise_latents(network.encoder, inputs, chunk_size=settings.chunk_size)


def _some_patches(
    images: Sequence[Any], preprocessing: Callable[[Any], Any], settings: ClassificationSettings
) -> Iterator[Tensor]:
    """Patches ``(N, C, *patch)`` of image after image."""
    for index in _evenly(range(len(images)), _IMAGES):
        item = images[index]
        try:
            source = as_tile_source(preprocessing(item)["image"], padding=settings.border)
            grid = PatchGrid(source.shape[1:], settings.patch_size, settings.stride)
            tried = [source.read([grid.slices(cell)]) for cell in _evenly(range(grid.num_cells), _TRIED)]
            telling = [patch for patch in tried if (patch.flatten(2) != patch.flatten(2)[..., :1]).any()]
            yield from _evenly(telling, _PATCHES)
        except Exception as error:  # of many types: it depends on what is broken
            raise name_fault(error, item) from None


def _evenly(items: Sequence[Any], count: int) -> Sequence[Any]:
    """Up to so many of the items, evenly spaced.

    >>> _evenly(range(10), 3), _evenly("ab", 3)
    ([1, 5, 8], ['a', 'b'])
    """
    number = min(count, len(items))
    return [items[(2 * place + 1) * len(items) // (2 * number)] for place in range(number)]
