"""nnU-Net's intensity augmentation and mirroring, for a whole batch of patches at once, where the batch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from monai_patchgrow.transforms.axis_maps import blur_matrices, coarsening_matrices, map_axes
from monai_patchgrow.transforms.recipe import AugmentationRecipe, Range

__all__ = ["Affected", "Augmentation", "BatchAugmentation", "augment_patches", "draw_augmentation"]

_NUM_KINDS = 8
_MIRROR_PROB = 0.5
_SMALLEST_DIVISOR = 1e-7


class Affected(NamedTuple):
    """What one kind of augmentation touches: `rows`, ascending, ``(R,)``, are patch * channels + channel.

    Their `values` are ``(R, 1)``, or ``(R, D)`` with one for each spatial axis.

    >>> Affected(rows=torch.tensor([4]), values=torch.tensor([[1.25]])).values.tolist()
    [[1.25]]
    """

    rows: Tensor
    values: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmentation:
    """What is drawn for one batch, on the CPU, before a voxel is touched; its kinds in the order in which they act.

    Args:
        shape: patches, channels and spatial axes of the batch.
        noise: standard deviations.
        blur: sigmas in voxels, for each axis.
        low_resolution: share of the voxels that is kept, for each axis; 1 on axes that are left alone.
        brightness, contrast, inverted_gamma, gamma: factors, and exponents.
        mirror: whether a patch is mirrored along an axis, ``(N, D)``.
        noise_before, noise_total: rows of a larger batch with noise, those before these patches and all of them.

    >>> recipe = AugmentationRecipe.nnunet((40, 56, 40))
    >>> draw_augmentation(recipe, torch.Generator(), num_patches=9, num_channels=1, spatial_dims=3).shape
    (9, 1, 3)
    """

    shape: tuple[int, int, int]
    noise: Affected
    blur: Affected
    brightness: Affected
    contrast: Affected
    low_resolution: Affected
    inverted_gamma: Affected
    gamma: Affected
    mirror: Tensor
    noise_before: int = 0
    noise_total: int | None = None

    def part(self, start: int, count: int) -> Augmentation:
        """What was drawn for `count` patches of the batch from patch `start` on, the same noise included.

        >>> recipe = AugmentationRecipe.nnunet((40, 56, 40))
        >>> draw_augmentation(recipe, torch.Generator(), num_patches=9, num_channels=1, spatial_dims=3).part(5, 4).shape
        (4, 1, 3)
        """
        low, high = start * self.shape[1], (start + count) * self.shape[1]

        def part_of(kind: Affected) -> Affected:
            own = (kind.rows >= low) & (kind.rows < high)
            return Affected(kind.rows[own] - low, kind.values[own])

        kinds = {name: part_of(kind) for name, kind in vars(self).items() if isinstance(kind, Affected)}
        shape, mirror = (count, *self.shape[1:]), self.mirror[start : start + count]
        before, total = int((self.noise.rows < low).sum()), len(self.noise.rows)
        return replace(self, **kinds, shape=shape, mirror=mirror, noise_before=before, noise_total=total)


def draw_augmentation(
    recipe: AugmentationRecipe, generator: torch.Generator, *, num_patches: int, num_channels: int, spatial_dims: int
) -> Augmentation:
    """Draw what happens to each of `num_patches` patches, and to each of its channels.

    A patch takes the same numbers from the (CPU) generator whatever happens to it, and whatever comes behind it.

    Raises:
        ValueError: an axis of the recipe that the patches don't have.

    >>> recipe = AugmentationRecipe.nnunet((40, 56, 40), mirror_axes=(2,))
    >>> drawn = draw_augmentation(recipe, torch.Generator(), num_patches=100, num_channels=1, spatial_dims=3)
    >>> drawn.mirror.any(0).tolist()
    [False, False, True]
    """
    coarse_axes = _parse_axes("low_resolution_axes", recipe.low_resolution_axes, spatial_dims)
    mirror_axes = _parse_axes("mirror_axes", recipe.mirror_axes, spatial_dims)
    # For each patch, kind and channel: is the patch affected (its first channel says so)? the channel? how strongly?
    chances = torch.rand(num_patches, _NUM_KINDS, num_channels, 2 + spatial_dims, generator=generator)
    noise, blur, brightness, contrast, coarse, inverted_gamma, gamma, mirror = chances.unbind(1)
    zoom = _affect(coarse, recipe.low_resolution_prob, recipe.low_resolution_zoom, recipe.low_resolution_channel_prob)
    return Augmentation(
        shape=(num_patches, num_channels, spatial_dims),
        # One deviation for all channels of a patch, as nnU-Net has it.
        noise=_affect(noise[:, :1].expand_as(noise), recipe.noise_prob, recipe.noise_std),
        blur=_affect(blur, recipe.blur_prob, recipe.blur_sigma, recipe.blur_channel_prob, num_axes=spatial_dims),
        brightness=_affect(brightness, recipe.brightness_prob, recipe.brightness_range, around_one=True),
        contrast=_affect(contrast, recipe.contrast_prob, recipe.contrast_range, around_one=True),
        low_resolution=Affected(zoom.rows, torch.where(coarse_axes, zoom.values, 1.0)),
        inverted_gamma=_affect(inverted_gamma, recipe.inverted_gamma_prob, recipe.gamma_range, around_one=True),
        gamma=_affect(gamma, recipe.gamma_prob, recipe.gamma_range, around_one=True),
        mirror=(mirror[:, 0, 2:] < _MIRROR_PROB) & mirror_axes,
    )


def _parse_axes(name: str, axes: Sequence[int], spatial_dims: int) -> Tensor:
    """Whether each of the patches' axes is one of `axes`, ``(D,)``."""
    if not set(axes) <= set(range(spatial_dims)):
        raise ValueError(f"the recipe's {name} must lie in 0..{spatial_dims - 1}, got {tuple(axes)}")
    return torch.tensor([axis in axes for axis in range(spatial_dims)])


def _affect(
    chances: Tensor, prob: float, limits: Range, channel_prob: float = 1, *, num_axes: int = 1, around_one: bool = False
) -> Affected:
    rows = ((chances[:, :1, 0] < prob) & (chances[:, :, 1] < channel_prob)).flatten().nonzero().flatten()
    chance = chances[:, :, 2 : 2 + num_axes].flatten(0, 1)[rows]
    low, high = limits
    if not (around_one and low < 1 < high):
        return Affected(rows, low + (high - low) * chance)
    offset = 2 * chance - 1
    return Affected(rows, 1 + torch.where(offset < 0, 1 - low, high - 1) * offset)


@torch.no_grad()
def augment_patches(
    image: Tensor, label: Tensor | None, augmentation: Augmentation, *, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Do to a batch of patches what was drawn for it; only what is affected is computed, and no device waited for.

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
    with torch.autocast(image.device.type, enabled=False):
        for (index, values), work in kinds:
            if len(index):
                index, values = (one.to(image.device, non_blocking=True) for one in (index, values))
                rows.index_copy_(0, index, work(rows.index_select(0, index), values))
    _mirror([image] if label is None else [image, label], augmentation.mirror)
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
    return torch.addcmul(mean * (1 - factor), rows, factor).clamp_(low, high)


def _apply_gamma(rows: Tensor, gamma: Tensor, *, inverted: bool = False) -> Tensor:
    """Gamma, on the voxels' height above a row's lowest one, or inverted, on their depth below its highest one."""
    low, high, mean = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True), rows.mean(1, keepdim=True)
    bent = (high - rows if inverted else rows - low).div_((high - low).clamp(min=_SMALLEST_DIVISOR))
    bent.log_().mul_(gamma).exp_()  # a power, in a fifth of pow's time
    bent.sub_(bent.mean(1, keepdim=True)).mul_(low - high if inverted else high - low)
    old, new = (torch.linalg.vector_norm(centred, dim=1, keepdim=True) for centred in (rows - mean, bent))
    return torch.addcmul(mean, bent, old / new.clamp(min=_SMALLEST_DIVISOR))


def _mirror(tensors: Sequence[Tensor], mirror: Tensor) -> None:
    for flags in product((False, True), repeat=mirror.shape[1]):
        axes = [axis for axis, flag in enumerate(flags, start=2) if flag]
        patches = (mirror == torch.tensor(flags)).all(1).nonzero().flatten()
        if axes and len(patches):
            index = patches.to(tensors[0].device, non_blocking=True)
            for tensor in tensors:
                tensor.index_copy_(0, index, tensor.index_select(0, index).flip(axes))


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
        """Draw from the seed and do it: see :func:`draw_augmentation` and :func:`augment_patches`.

        The patches may be a part of a batch of `total`, with `before` of them in front: each is augmented as there.
        """
        generator = torch.Generator().manual_seed(seed)
        total = len(image) if total is None else total
        size = {"num_patches": total, "num_channels": image.shape[1], "spatial_dims": image.ndim - 2}
        drawn = draw_augmentation(self.recipe, generator, **size)
        drawn = drawn if total == len(image) else drawn.part(before, len(image))
        # On a CPU the noise goes on where the drawing ended, or it would repeat the numbers that decided on it.
        if image.device != generator.device:
            generator = torch.Generator(image.device).manual_seed(seed)
        return augment_patches(image, label, drawn, generator=generator)
