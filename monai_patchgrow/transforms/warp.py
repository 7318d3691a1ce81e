"""Draws patches through a rotated and scaled grid, straight from the volume that they lie in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from monai_patchgrow.transforms.recipe import AugmentationRecipe

__all__ = ["draw_warps", "gather_warped", "heaviest_class"]

_POINTS_AT_ONCE = 2**15  # what the interpolation works on fits a core's cache


def draw_warps(
    recipe: AugmentationRecipe, random_state: np.random.RandomState, count: int, *, axes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw which patches are rotated or scaled, and how.

    Args:
        recipe: probabilities, angles (degrees), factors and axes.
        random_state: source of all draws; the same number of them whatever is drawn.
        count: patches.
        axes: of the volume, where it has more than the recipe; the last ones are left alone.

    Returns:
        Indices of the affected patches, ``(n,)``, and their matrices ``(n, axes, axes)``: a voxel of the patch at
        the offset v from its centre is read at ``matrix @ v`` from the centre in the volume.
    """
    angles = np.radians(recipe.rotation_degrees)
    # Angles and factors are drawn for all patches, also for those that keep still: whether one patch is warped must not
    # move the numbers of the next.
    chances = random_state.random_sample((count, 2))
    drawn = random_state.uniform(-angles, angles, size=(count, len(angles)))
    factors = random_state.uniform(*recipe.scale_range, size=count)
    is_rotated, is_scaled = (chances < (recipe.rotation_prob, recipe.scale_prob)).T
    affected = np.flatnonzero(is_rotated | is_scaled)
    volume_axes = recipe.spatial_dims if axes is None else axes
    if not len(affected):
        return affected, np.empty((0, volume_axes, volume_axes))
    matrices = _rotations(np.where(is_rotated[:, None], drawn, 0.0)[affected])
    scales = np.ones((len(affected), matrices.shape[1]))
    # One factor for all axes, as nnU-Net has it by default.
    scales[:, list(recipe.scale_axes)] = np.where(is_scaled, factors, 1.0)[affected, None]
    warps = np.tile(np.eye(volume_axes), (len(affected), 1, 1))
    # Columns are scaled: an offset is scaled along the patch's own axes first, and rotated then.
    warps[:, : recipe.spatial_dims, : recipe.spatial_dims] = matrices * scales[:, None, :]
    return affected, warps


def gather_warped(
    volume: Tensor,
    *,
    starts: np.ndarray,
    matrices: np.ndarray,
    patch_size: Sequence[int],
    padding: Tensor,
    is_label: bool = False,
) -> Tensor:
    """Cut patches of one volume, each through its own grid: no voxel is lost at a patch's border.

    An image is interpolated linearly. A label voxel takes the class with the largest weight among its neighbours,
    which is linear interpolation of the one-hot label (nnU-Net v2's way). Grid points are in voxels: other
    than in nnU-Net, whose grid is relative to the patch, a rotation stays one where the patch is no cube.

    Args:
        volume: ``(C, *shape)``, 2 or 3 axes, any strides; never copied where it is float32.
        starts: first voxel of each patch before the warp, ``(n, axes)``.
        matrices: as :func:`draw_warps` gives them, ``(n, axes, axes)``.
        patch_size: voxels per axis.
        padding: value of each channel outside of the volume, ``(C,)``.
        is_label: whether `volume` holds classes.

    Returns:
        ``(n, C, *patch_size)``; float32, or the label's type.

    >>> gather_warped(
    ...     torch.arange(6.0).repeat(1, 6, 1),
    ...     starts=np.array([[2, 2]]),
    ...     matrices=0.5 * np.eye(2)[None],
    ...     patch_size=(1, 3),
    ...     padding=torch.zeros(1),
    ... )
    tensor([[[[2.5000, 3.0000, 3.5000]]]])
    """
    sample = _vote if is_label else _interpolate
    volume = volume if is_label else volume.to(torch.float32)
    points = _grid_points(starts, matrices, patch_size)
    values = torch.cat([sample(volume, some, padding) for some in points.split(_POINTS_AT_ONCE, dim=1)], dim=-1)
    return values.reshape(len(volume), len(starts), *patch_size).movedim(0, 1)


def _rotations(angles: np.ndarray) -> np.ndarray:
    """Matrices ``(n, axes, axes)`` from angles in radians: ``(n, 1)`` in 2-D, ``(n, 3)`` about each axis in 3-D."""
    if angles.shape[1] == 1:
        return _plane_rotations(angles[:, 0], 0, 1, num_axes=2)
    about_0 = _plane_rotations(angles[:, 0], 1, 2, num_axes=3)
    about_1 = _plane_rotations(angles[:, 1], 2, 0, num_axes=3)
    about_2 = _plane_rotations(angles[:, 2], 0, 1, num_axes=3)
    return about_2 @ about_1 @ about_0


def _plane_rotations(angles: np.ndarray, first: int, second: int, *, num_axes: int) -> np.ndarray:
    matrices = np.tile(np.eye(num_axes), (len(angles), 1, 1))
    matrices[:, first, first] = matrices[:, second, second] = np.cos(angles)
    matrices[:, first, second] = -np.sin(angles)
    matrices[:, second, first] = np.sin(angles)
    return matrices


def _grid_points(starts: np.ndarray, matrices: np.ndarray, patch_size: Sequence[int]) -> Tensor:
    """Where each voxel of each patch is read, in voxels of the volume: ``(axes, n * voxels)`` float32."""
    half = (np.array(patch_size) - 1) / 2
    offsets = torch.from_numpy(np.indices(patch_size).reshape(len(half), -1) - half[:, None]).float()
    centres = torch.from_numpy(starts + half).float()
    # All patches share the offsets, so one batched product makes the points of all of them. Of two patches its last bit
    # depends on torch's number of threads, which is another one in loader workers (torch 2.13).
    points = torch.from_numpy(matrices).float() @ offsets + centres[:, :, None]
    return points.swapaxes(0, 1).reshape(len(half), -1)


def _interpolate(image: Tensor, points: Tensor, padding: Tensor) -> Tensor:
    shape = torch.tensor(image.shape[1:])[:, None]
    grid = ((2 * points + 1) / shape - 1).flip(0).T  # torch counts in halves of the volume, last axis first
    grid = grid.reshape(1, *[1] * (len(shape) - 1), -1, len(shape))
    # Outside of the volume grid_sample reads zeros, so what it gives is the volume's share of each value.
    values = grid_sample(image[None], grid, align_corners=False).reshape(len(image), -1)
    # The weights of the neighbours in the volume multiply over the axes; the padding takes the share that is left.
    covered = torch.minimum(points + 1, shape - points).clamp(0, 1).prod(0)
    return values.addcmul_(padding[:, None].to(values.dtype), 1 - covered)


def _vote(label: Tensor, points: Tensor, padding: Tensor) -> Tensor:
    """The class with the most weight; where all neighbours agree there is nothing to weigh: almost everywhere."""
    memory = _in_memory_order(label)
    lower = points.floor()
    # The neighbour at the lower corner, pulled in so far that the one at the upper corner lies in the volume too.
    last = torch.tensor(label.shape[1:])[:, None] - 2
    strides = torch.tensor(label.stride()[1:], dtype=torch.int32)
    first = (lower.clamp(min=0).minimum(last.clamp(min=0)).int() * strides[:, None]).sum(0, dtype=torch.int32)
    # Comparing 2^axes classes costs less than weighing them, and inside of a structure they agree.
    winner = memory.index_select(0, first)
    agrees = ((lower >= 0) & (lower <= last)).all(0)
    for steps in itertools.product((0, 1), repeat=len(points)):
        offset = sum(step * stride for step, stride in zip(steps, label.stride()[1:], strict=True))
        # Clamped for axes of one voxel, which have no upper neighbour; `agrees` is false there already.
        agrees = agrees & (memory.index_select(0, (first + offset).clamp_(max=len(memory) - 1)) == winner)
    differs = (~agrees).nonzero()[:, 0]
    if len(differs):
        winner[differs] = _weigh(label, points[:, differs], padding)
    return winner


def _weigh(label: Tensor, points: Tensor, padding: Tensor) -> Tensor:
    places, weights = _corners(label, points)
    classes = _in_memory_order(label).index_select(0, places.flatten()).reshape(places.shape)
    # What the neighbours in the volume leave of the weight belongs to the outside.
    neighbours = torch.cat([classes.where(weights > 0, padding), padding.expand(1, points.shape[1])])
    shares = torch.cat([weights, 1 - weights.sum(0, keepdim=True)])
    return heaviest_class(neighbours, shares)


def heaviest_class(neighbours: Tensor, shares: Tensor) -> Tensor:
    """The class with the largest share at each point, ``(...)``, the first of several.

    Args:
        neighbours: classes, ``(K, ...)``.
        shares: the weight of each of them, ``(K, ...)``.

    >>> heaviest_class(torch.tensor([[1], [2], [2]]), torch.tensor([[0.4], [0.3], [0.3]]))
    tensor([2])
    """
    # Classes are compared with each other rather than one-hot encoded: their number doesn't count.
    votes = torch.stack([(shares * (neighbours == own)).sum(0) for own in neighbours])
    return neighbours.gather(0, votes.argmax(0, keepdim=True))[0]


def _corners(label: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """For each neighbour of the points its place in the label's memory and its weight, 0 outside of the volume.

    Both are ``(2^axes, points)``, the first axis of the volume slowest.
    """
    lower = points.floor()
    fractions = points - lower
    indices = torch.stack([lower, lower + 1], 1)
    shape, strides = (torch.tensor(numbers[1:])[:, None, None] for numbers in (label.shape, label.stride()))
    inside = (indices >= 0) & (indices < shape)
    by_axis = indices.clamp(min=0).minimum(shape - 1).long() * strides
    weights_by_axis = torch.stack([1 - fractions, fractions], 1) * inside
    places, weights = by_axis[0], weights_by_axis[0]
    for place, weight in zip(by_axis[1:], weights_by_axis[1:], strict=True):
        places = (places[:, None] + place).flatten(0, 1)
        weights = (weights[:, None] * weight).flatten(0, 1)
    return places, weights


def _in_memory_order(label: Tensor) -> Tensor:
    """A view ``(voxels,)`` of a label's memory, whatever its strides: no copy is made."""
    # `flatten` would copy a volume whose memory is in another order, such as Fortran's, for each stack of patches.
    spatial = zip(label.shape[1:], label.stride()[1:], strict=True)
    return label.as_strided((1 + sum((voxels - 1) * stride for voxels, stride in spatial),), (1,))
