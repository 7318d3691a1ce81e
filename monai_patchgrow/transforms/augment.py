"""nnU-Net's intensity augmentation and mirroring, for a whole batch of patches at once, where the batch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from monai_patchgrow.transforms.axis_maps import SMALLEST_DIVISOR, blur_matrices, coarsening_matrices, map_axes
from monai_patchgrow.transforms.drawn_augmentation import Affected, Augmentation, draw_augmentation
from monai_patchgrow.transforms.one_copy import sent_together
from monai_patchgrow.transforms.recipe import AugmentationRecipe

__all__ = ["BatchAugmentation", "augment_patches"]


@torch.no_grad()
def augment_patches(
    image: Tensor, label: Tensor | None, augmentation: Augmentation, *, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Apply to a batch of patches what was drawn for it. Only affected patches are computed, no device is awaited.

    Args:
        image: ``(N, C, *spatial)``, float32; left as it is.
        label: ``(N, 1, *spatial)``, any dtype; left as it is.
        augmentation: drawn for this N, C and number of spatial axes.
        generator: draws the noise, on the device of `image`.

    Raises:
        ValueError: another shape or dtype than these.

    >>> recipe = AugmentationRecipe.nnunet((8, 8, 8))
    >>> drawn = draw_augmentation(recipe, torch.Generator(), num_patches=2, num_channels=1, spatial_dims=3)
    >>> image, label = torch.rand(2, 1, 8, 8, 8), torch.ones(2, 1, 8, 8, 8)
    >>> [tuple(one.shape) for one in augment_patches(image, label, drawn, generator=torch.Generator())]
    [(2, 1, 8, 8, 8), (2, 1, 8, 8, 8)]
    """
    _check_batch(image, label, augmentation)
    image, label = image.clone(memory_format=torch.contiguous_format), None if label is None else label.clone()
    rows = image.flatten(0, 1).flatten(1)
    kinds: tuple[tuple[Affected, Callable[[Tensor, Tensor], Tensor]], ...] = (
        (augmentation.noise, partial(_add_noise, generator=generator, drawn=augmentation)),
        (augmentation.blur, partial(map_axes, blur_matrices, image.shape[2:])),
        (augmentation.brightness, torch.mul),
        (augmentation.contrast, _scale_contrast),
        (augmentation.low_resolution, partial(map_axes, coarsening_matrices, image.shape[2:])),
        (augmentation.inverted_gamma, partial(_apply_gamma, inverted=True)),
        (augmentation.gamma, _apply_gamma),
    )
    # In half precision a gamma would leave few grey values; a trainer's AMP may be on around this.
    with torch.autocast(image.device.type, enabled=False):
        # What is affected is known on the CPU: a mask on the device would have to be waited for.
        mirrored = [flags.nonzero().flatten() for flags in augmentation.mirror.unbind(1)]
        sent = sent_together([*(one for affected, _ in kinds for one in affected), *mirrored], image.device)
        mirrored = [sent.pop() for _ in mirrored][::-1]
        for index, values, (_, work) in zip(sent[::2], sent[1::2], kinds, strict=True):
            if len(index):
                rows.index_copy_(0, index, work(rows.index_select(0, index), values))
    for tensor in [image] if label is None else [image, label]:
        _mirror(tensor, mirrored)
    return image, label


def _check_batch(image: Tensor, label: Tensor | None, augmentation: Augmentation) -> None:
    shape = (*image.shape[:2], image.ndim - 2)
    if shape != augmentation.shape or image.dtype != torch.float32:
        wanted = "float32, with the patches, channels and spatial axes that were drawn for"
        raise ValueError(f"image must be {wanted}, {augmentation.shape}, got {image.dtype}, {shape}")
    if label is not None and label.shape != (like_image := (len(image), 1, *image.shape[2:])):
        raise ValueError(f"label must have the shape {like_image}, got {tuple(label.shape)}")


def _add_noise(rows: Tensor, std: Tensor, *, generator: torch.Generator, drawn: Augmentation) -> Tensor:
    # A generator's numbers depend on how many are drawn at once: as many as for the whole batch, then these rows' part.
    total = len(rows) if drawn.noise_total is None else drawn.noise_total
    noise = torch.randn((total, rows.shape[1]), device=rows.device, generator=generator)
    return noise[drawn.noise_before : drawn.noise_before + len(rows)].mul_(std).add_(rows)


def _scale_contrast(rows: Tensor, factor: Tensor) -> Tensor:
    low, high, mean = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True), rows.mean(1, keepdim=True)
    # mean + factor * (row - mean), in one pass over the voxels.
    return torch.addcmul(mean * (1 - factor), rows, factor).clamp_(low, high)


def _apply_gamma(rows: Tensor, gamma: Tensor, *, inverted: bool = False) -> Tensor:
    """Gamma, on the voxels' height above a row's lowest one, or inverted, on their depth below its highest one."""
    low, high, mean = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True), rows.mean(1, keepdim=True)
    bent = (high - rows if inverted else rows - low).div_((high - low).clamp(min=SMALLEST_DIVISOR))
    bent.log_().mul_(gamma).exp_()  # a power, in a fifth of pow's time
    # The inverted image's sign is turned back here, on the way to the old range.
    bent.sub_(bent.mean(1, keepdim=True)).mul_(low - high if inverted else high - low)
    # Norms in place of deviations: both have the same number of voxels.
    old, new = (torch.linalg.vector_norm(centred, dim=1, keepdim=True) for centred in (rows - mean, bent))
    return torch.addcmul(mean, bent, old / new.clamp(min=SMALLEST_DIVISOR))


def _mirror(tensor: Tensor, mirrored: Sequence[Tensor]) -> None:
    """Flip, for each spatial axis, the patches of these numbers."""
    for axis, patches in enumerate(mirrored, start=2):
        if len(patches):
            tensor.index_copy_(0, patches, tensor.index_select(0, patches).flip(axis))


@dataclass(frozen=True)
class BatchAugmentation:
    """Augments batches of patches where they lie, each from a seed; global generators are neither read nor moved.

    >>> augment = BatchAugmentation(AugmentationRecipe.nnunet((40, 56, 40)))
    >>> image, label = torch.rand(9, 1, 8, 8, 8), torch.zeros(9, 1, 8, 8, 8, dtype=torch.long)
    >>> torch.equal(augment(image, label, seed=0)[0], augment(image, label, seed=0)[0])
    True
    """

    recipe: AugmentationRecipe

    def __call__(
        self, image: Tensor, label: Tensor | None, *, seed: int, before: int = 0, total: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Draw from the seed and apply what was drawn: see :func:`draw_augmentation` and :func:`augment_patches`.

        The patches may be a part of a batch of `total`, with `before` of them in front: each is augmented as there.
        """
        generator = torch.Generator().manual_seed(seed)
        total = len(image) if total is None else total
        size = {"num_patches": total, "num_channels": image.shape[1], "spatial_dims": image.ndim - 2}
        drawn = draw_augmentation(self.recipe, generator, **size)
        drawn = drawn if total == len(image) else drawn.part(before, len(image))
        # On a CPU the noise continues where the drawing ended, or it would repeat the numbers that decided on it.
        if image.device != generator.device:
            generator = torch.Generator(image.device).manual_seed(seed)
        return augment_patches(image, label, drawn, generator=generator)
