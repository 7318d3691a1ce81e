"""An encoder of patches and a head of latent grids, as PatchGD's engines call them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from monai_patchgrow.data.tiles.constant import constant_patches, merge_constant_patches, white_value
from monai_patchgrow.engines.patchgd.chunks import Chunk
from monai_patchgrow.engines.patchgd.exactness import each_patch_by_itself
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.options import PatchEncoding
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["PatchModel", "to_device"]


class PatchModel:
    """Encoder and head, and how a chunk's patches come to them.

    Attributes:
        device: where encoder and head compute: the encoding's, or where the encoder's first parameter lies, else the
            head's, else the CPU.

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``.
        head: ``(B, D, *grid)`` to ``(B, K)``; one with an attribute ``takes_mask`` that is true is also given the
            cells that each image has, ``(B, *grid)`` bool, or None where all have all.
        encoding: how patches become latent vectors.

    Raises:
        ValueError: on use, an output of another shape, a head without masks for images of different sizes or for
            `ignore_background`, or an encoder that `skip_background` is not exact for.
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor],
        head: Callable[..., Tensor],
        encoding: PatchEncoding,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.encoding = encoding
        weights = [_first_weight(encoder), _first_weight(head)]
        known = [weight for weight in weights if weight is not None]
        self.device = torch.device(encoding.device or (known[0].device if known else "cpu"))
        self._patch_dtype = None if weights[0] is None else weights[0].dtype
        self._latent_dtype = known[-1].dtype if known else None

    def check(self, images: ImageBatch) -> None:
        """Refuse, before anything is encoded, images that the head can't tell apart from their padding."""
        if not images.has_one_size and not self._takes_mask:
            raise ValueError(
                f"images of different sizes need a head that takes a mask (takes_mask = True), such as a pooling head, "
                f"got {type(self.head).__name__} for grids of {sorted({grid.shape for grid in images.grids})} cells"
            )
        if self.encoding.ignore_background and not self._takes_mask:
            raise ValueError(
                "ignore_background needs a head that takes a mask (takes_mask = True), such as a pooling head, got "
                f"{type(self.head).__name__}"
            )

    def fill(self, images: ImageBatch, chunks: Sequence[Chunk], patches: Iterator[Tensor]) -> LatentGrid:
        """Z with the cells of `chunks`, whose patches are the next ones of `patches`."""
        own = images.mask.clone()

        def encode(chunk: Chunk) -> Tensor:
            some = next(patches)
            if self.encoding.ignore_background:
                numbers, cells = images.places(chunk, device=torch.device("cpu"))
                own.flatten(1)[numbers, cells] &= ~constant_patches(some)
            return self.encode(some)

        with each_patch_by_itself(self.encoder, self.device) if self.encoding.skip_background else nullcontext():
            latents = encode(chunks[0])
            options: dict[str, Any] = {"dtype": self._latent_dtype or latents.dtype, "device": self.device}
            latent = LatentGrid(images.mask, latent_dim=latents.shape[1], **options)
            latent.write(images.places(chunks[0], device=self.device), latents)
            for chunk in chunks[1:]:
                latent.write(images.places(chunk, device=self.device), encode(chunk))
        if self.encoding.ignore_background:
            is_empty = ~own.flatten(1).any(1)
            own[is_empty] = images.mask[is_empty]
            latent.keep(own)
        return latent

    def encode(self, patches: Tensor) -> Tensor:
        """The latent vectors ``(N, D)`` of a chunk's patches as they were read, ``(N, C, *patch)``."""
        patches, rows = merge_constant_patches(patches) if self.encoding.skip_background else (patches, None)
        own = patches.dtype if patches.is_floating_point() else self._latent_dtype or torch.get_default_dtype()
        dtype = self._patch_dtype or own
        inputs = to_device(patches, device=self.device, dtype=dtype, normalise=self.encoding.normalise)
        latents = self._encode(inputs)
        if not isinstance(latents, Tensor) or latents.ndim != 2 or len(latents) != len(inputs):
            got = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
            raise ValueError(f"the encoder must make (N, D) of its {len(inputs)} patches, got {got}")
        return latents if rows is None or len(rows) == len(latents) else latents[rows.to(self.device)]

    def classify(self, latent: LatentGrid) -> Tensor:
        """The head's output ``(B, K)``; for the forward pass of the loss too, call it within `encoding.autocast`."""
        mask = None if latent.is_whole else latent.mask
        output = self.head(latent.z, mask) if self._takes_mask else self.head(latent.z)
        if output.ndim != 2 or len(output) != len(latent.mask):
            raise ValueError(
                f"the head must make (B, K) of a batch of {len(latent.mask)} images, got {tuple(output.shape)}"
            )
        return output

    def _encode(self, inputs: Tensor) -> Tensor:
        with self.encoding.autocast():
            try:
                return self.encoder(inputs)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise ValueError(
                    f"batch norm can't train on {len(inputs)} patch of {format_size(inputs.shape[2:])}: take a larger "
                    "sampling, chunk_size, batch or patch, or another norm in the encoder"
                ) from error

    @property
    def _takes_mask(self) -> bool:
        return bool(getattr(self.head, "takes_mask", False))


def to_device(
    patches: Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype,
    normalise: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """A chunk's patches as the encoder takes them.

    They go to the device as they were read, uint8 as uint8. There `normalise` gets them, by default one that brings
    unsigned integers to 0..1 by the range of their type, uint16 by 65535, and leaves signed ones and floats alone.
    """
    if device.type == "cuda" and patches.device.type == "cpu" and not patches.is_pinned():
        patches = patches.pin_memory()
    patches = patches.to(device, non_blocking=True)
    if normalise is not None:
        return normalise(patches).to(dtype)
    scale = white_value(patches.dtype)
    if scale == 1:
        return patches.to(dtype)
    wide = torch.promote_types(dtype, torch.float32)  # float16 ends below 65 535
    return patches.to(wide).div_(scale).to(dtype)


def _first_weight(network: Callable[..., Tensor]) -> Tensor | None:
    """The first parameter of a network; None of a function, or where there is none."""
    parameters = network.parameters() if isinstance(network, nn.Module) else ()
    return next((parameter for parameter in parameters if parameter.is_floating_point()), None)
