"""What happens to each patch of a batch, drawn from a recipe on the CPU, before a voxel is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from monai_patchgrow.transforms.recipe import AugmentationRecipe, Range

__all__ = ["Affected", "Augmentation", "draw_augmentation"]

_NUM_KINDS = 8  # of augmentation, mirroring included; a patch draws numbers for all, whatever happens to it
_MIRROR_PROB = 0.5


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

        # Rows are numbered within the part from here on; the noise alone is drawn for the whole batch all the same.
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
    # In numpy: a third of torch's time for so few numbers.
    noise, blur, brightness, contrast, coarse, inverted_gamma, gamma, mirror = chances.numpy().swapaxes(0, 1)
    # One zoom for all axes, unlike the blur's sigma.
    zoom = _affect(coarse, recipe.low_resolution_prob, recipe.low_resolution_zoom, recipe.low_resolution_channel_prob)
    return Augmentation(
        shape=(num_patches, num_channels, spatial_dims),
        # One deviation for all channels of a patch, as nnU-Net has it.
        noise=_affect(np.broadcast_to(noise[:, :1], noise.shape), recipe.noise_prob, recipe.noise_std),
        blur=_affect(blur, recipe.blur_prob, recipe.blur_sigma, recipe.blur_channel_prob, num_axes=spatial_dims),
        brightness=_affect(brightness, recipe.brightness_prob, recipe.brightness_range, around_one=True),
        contrast=_affect(contrast, recipe.contrast_prob, recipe.contrast_range, around_one=True),
        low_resolution=Affected(zoom.rows, torch.from_numpy(np.where(coarse_axes, zoom.values, np.float32(1)))),
        inverted_gamma=_affect(inverted_gamma, recipe.inverted_gamma_prob, recipe.gamma_range, around_one=True),
        gamma=_affect(gamma, recipe.gamma_prob, recipe.gamma_range, around_one=True),
        mirror=torch.from_numpy((mirror[:, 0, 2:] < _MIRROR_PROB) & mirror_axes),
    )


def _parse_axes(name: str, axes: Sequence[int], spatial_dims: int) -> np.ndarray:
    """Whether each of the patches' axes is one of `axes`, ``(D,)``."""
    if not set(axes) <= set(range(spatial_dims)):
        raise ValueError(f"the recipe's {name} must lie in 0..{spatial_dims - 1}, got {tuple(axes)}")
    return np.isin(np.arange(spatial_dims), axes)


def _affect(
    chances: np.ndarray,
    prob: float,
    limits: Range,
    channel_prob: float = 1,
    *,
    num_axes: int = 1,
    around_one: bool = False,
) -> Affected:
    rows = np.flatnonzero((chances[:, :1, 0] < prob) & (chances[:, :, 1] < channel_prob))
    chance = chances[:, :, 2 : 2 + num_axes].reshape(-1, num_axes)[rows]
    low, high = limits
    if not (around_one and low < 1 < high):
        return Affected(torch.from_numpy(rows), torch.from_numpy(low + (high - low) * chance))
    # Below or above 1 with equal probability, and uniform on either side: not uniform over the whole range, of which
    # the larger part lies above 1.
    offset = 2 * chance - 1
    width = np.where(offset < 0, np.float32(1 - low), np.float32(high - 1))
    return Affected(torch.from_numpy(rows), torch.from_numpy(1 + width * offset))
