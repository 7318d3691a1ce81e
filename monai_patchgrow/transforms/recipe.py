"""What nnU-Net v2 does to a training patch, as one frozen value: probabilities, ranges and axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["AugmentationRecipe"]

_ANISOTROPY = 3.0  # longest over through-plane axis, above which nnU-Net rotates in the plane only
_ANISOTROPY_2D = 1.5

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AugmentationRecipe:
    """Probabilities per patch, and the ranges that parameters are drawn from uniformly.

    They are decided once, from the full patch: a small patch of an early stage is treated like the full one. (The PGPS
    authors' code decides in each stage, from its patch, what is anisotropic.)

    Source: Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note on augmentation, with the figures of
    nnU-Net v2's default trainer. The range that nnU-Net calls the noise's variance is handed to its generator as
    the standard deviation, and is one here.

    Args:
        rotation_degrees: largest angle of the rotation about each array axis, drawn from +- that; one number in 2-D.
        rotation_prob, scale_prob: probability of a rotation, of a scaling.
        scale_range: factor by which a patch covers more (above 1) or less of the volume, one for all `scale_axes`.
        scale_axes: array axes that are scaled.
        noise_prob, noise_std: Gaussian noise, one standard deviation for all channels of a patch.
        blur_prob, blur_channel_prob, blur_sigma: Gaussian blur, sigma (voxels) drawn for each channel and axis.
        brightness_prob, brightness_range: factor of each channel.
        contrast_prob, contrast_range: factor about each channel's mean, the channel's range kept.
        low_resolution_prob, low_resolution_channel_prob, low_resolution_zoom: detail lost as by sampling with this
            share of the voxels on each of `low_resolution_axes` (array axes).
        inverted_gamma_prob, gamma_prob, gamma_range: exponent of each channel, on the inverted or the plain image;
            mean and deviation kept.
        mirror_axes: array axes mirrored with probability 0.5 each; none where left and right are labels.

    Brightness, contrast and gamma are drawn below or above 1 with equal probability.

    >>> recipe = AugmentationRecipe.nnunet((40, 56, 40))
    >>> recipe.rotation_degrees, recipe.mirror_axes
    ((30.0, 30.0, 30.0), (0, 1, 2))
    """

    rotation_degrees: tuple[float, ...]
    scale_axes: tuple[int, ...]
    low_resolution_axes: tuple[int, ...]
    mirror_axes: tuple[int, ...]
    rotation_prob: float = 0.2
    scale_prob: float = 0.2
    scale_range: Range = (0.7, 1.4)
    noise_prob: float = 0.1
    noise_std: Range = (0.0, 0.1)
    blur_prob: float = 0.2
    blur_channel_prob: float = 0.5
    blur_sigma: Range = (0.5, 1.0)
    brightness_prob: float = 0.15
    brightness_range: Range = (0.75, 1.25)
    contrast_prob: float = 0.15
    contrast_range: Range = (0.75, 1.25)
    low_resolution_prob: float = 0.25
    low_resolution_channel_prob: float = 0.5
    low_resolution_zoom: Range = (0.5, 1.0)
    inverted_gamma_prob: float = 0.1
    gamma_prob: float = 0.3
    gamma_range: Range = (0.7, 1.5)

    @property
    def spatial_dims(self) -> int:
        """Axes of the patches that the recipe is for: 2 or 3."""
        return 2 if len(self.rotation_degrees) == 1 else 3

    @classmethod
    def nnunet(
        cls,
        patch_size: Sequence[int],
        *,
        through_plane_axis: int = 0,
        mirror_axes: Sequence[int] | None = None,
    ) -> AugmentationRecipe:
        """Return the recipe of nnU-Net v2's default trainer for a full patch.

        Args:
            patch_size: full patch, voxels per array axis, 2 or 3 axes.
            through_plane_axis: array axis that nnU-Net has first: 0 in its own order (z, y, x), 2 in (x, y, z).
                Where the longest axis is above three times this one, the patch is anisotropic: rotated up to 180
                degrees in the plane only, and neither scaled nor coarsened through it.
            mirror_axes: array axes to mirror (default: all); empty for tasks whose labels know left and right.

        Raises:
            ValueError: another number of axes, or an axis that is not there.

        >>> AugmentationRecipe.nnunet((20, 320, 256)).rotation_degrees
        (180.0, 0.0, 0.0)
        >>> AugmentationRecipe.nnunet((512, 512), mirror_axes=()).rotation_degrees
        (180.0,)
        """
        axes = tuple(range(len(patch_size)))
        if len(axes) not in (2, 3):
            raise ValueError(f"patch_size must have 2 or 3 axes to be augmented, got {tuple(patch_size)}")
        mirrored = axes if mirror_axes is None else tuple(mirror_axes)
        for name, axis in (("through_plane_axis", through_plane_axis), *(("mirror_axes", axis) for axis in mirrored)):
            if axis not in axes:
                raise ValueError(f"{name} must be one of {axes}, got {axis!r}")
        in_plane = tuple(axis for axis in axes if axis != through_plane_axis)
        in_plane_only = len(axes) == 3 and max(patch_size) / patch_size[through_plane_axis] > _ANISOTROPY
        used = in_plane if in_plane_only else axes
        return cls(
            rotation_degrees=_angles(patch_size, through_plane_axis if in_plane_only else None),
            scale_axes=used,
            low_resolution_axes=used,
            mirror_axes=mirrored,
        )


def _angles(patch_size: Sequence[int], only_axis: int | None) -> tuple[float, ...]:
    """Largest angle about each axis, degrees."""
    if len(patch_size) == 2:
        return (15.0 if max(patch_size) / min(patch_size) > _ANISOTROPY_2D else 180.0,)
    if only_axis is None:
        return (30.0, 30.0, 30.0)
    return tuple(180.0 if axis == only_axis else 0.0 for axis in range(len(patch_size)))
