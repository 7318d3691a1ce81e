"""Rotates and scales patches on the device, from boxes of the volume that a loader's worker only cuts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from monai_patchgrow.transforms.one_copy import sent_together
from monai_patchgrow.transforms.recipe import AugmentationRecipe
from monai_patchgrow.transforms.warp import heaviest_class

__all__ = ["WARPS", "Warps", "box_size", "cut_boxes", "leave_warps"]

WARPS = "warps"
"""Key of a batch: the :class:`Warps` that its device does."""


@dataclass(frozen=True, eq=False)
class Warps:
    """Patches of a batch that are still to be warped, each in a box of the volume that holds all that it reads.

    rows: places of the patches in the batch, ``(n,)``, on the CPU.
    matrices: ``(n, axes, axes)``, as :func:`monai_patchgrow.transforms.warp.draw_warps` gives them.
    centres: of the patches, in voxels of their boxes, ``(n, axes)``.
    boxes: of each key, ``(n, C, *box)``, several times as large as a patch: see :func:`box_size`.
    label_key: key of the one that is a label.
    num_patches: of the batch, N.

    >>> image, box = torch.zeros(2, 1, 2, 2), torch.arange(36.0).reshape(1, 1, 6, 6)
    >>> turned = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    >>> warps = Warps(torch.tensor([1]), turned, torch.tensor([[2.5, 2.5]]), {"image": box}, "label", 2)
    >>> warps.apply({"image": image})["image"][1]
    tensor([[[20., 14.],
             [21., 15.]]])
    """

    rows: Tensor
    matrices: Tensor
    centres: Tensor
    boxes: Mapping[Hashable, Tensor]
    label_key: Hashable
    num_patches: int

    def apply(self, patches: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Replace patches ``(N, C, *patch)`` in place by the warped ones, on the patches' device; return them.

        An image is interpolated linearly, a label takes the class with the largest weight, as
        :func:`monai_patchgrow.transforms.warp.gather_warped` does it. No device is awaited.
        """
        if not len(self.rows):
            return dict(patches)
        device = next(iter(patches.values())).device
        rows, matrices, centres = sent_together([self.rows, self.matrices, self.centres], device)
        for key, own in patches.items():
            boxes = self.boxes[key].to(device, non_blocking=True)
            points = _points(matrices, centres, own.shape[2:])
            sample = _vote if key == self.label_key else _interpolate
            warped = sample(boxes, points).reshape(len(rows), *own.shape[1:])
            own.index_copy_(0, rows, warped.to(own.dtype))
        return dict(patches)

    def keep(self, kept: Sequence[int]) -> Warps:
        """The warps of those patches that are kept of a batch, these in their new places."""
        place = {row: number for number, row in enumerate(kept)}
        own = [number for number, row in enumerate(self.rows.tolist()) if row in place]
        rows = torch.tensor([place[row] for row in self.rows[own].tolist()], dtype=torch.int64)
        boxes = {key: box[own] for key, box in self.boxes.items()}
        return Warps(rows, self.matrices[own], self.centres[own], boxes, self.label_key, len(kept))

    def pin_memory(self) -> Warps:
        """The same in pinned memory: what a loader with ``pin_memory`` calls."""
        boxes = {key: box.pin_memory() for key, box in self.boxes.items()}
        return Warps(self.rows, self.matrices, self.centres, boxes, self.label_key, self.num_patches)

    @classmethod
    def join(cls, parts: Sequence[Warps]) -> Warps:
        """The warps of a batch, from those of its volumes."""
        *before, total = itertools.accumulate((part.num_patches for part in parts), initial=0)
        return cls(
            torch.cat([part.rows + first for part, first in zip(parts, before, strict=True)]),
            torch.cat([part.matrices for part in parts]),
            torch.cat([part.centres for part in parts]),
            {key: torch.cat([part.boxes[key] for part in parts]) for key in parts[0].boxes},
            parts[0].label_key,
            total,
        )


def leave_warps(
    volumes: Mapping[Hashable, tuple[Tensor, Tensor]],
    label_key: Hashable,
    recipe: AugmentationRecipe,
    starts: np.ndarray,
    patch_size: Sequence[int],
    warps: tuple[np.ndarray, np.ndarray],
) -> Warps:
    """Cut the boxes of the patches of one volume that are to be warped.

    Args:
        volumes: by key the volume ``(C, *shape)``, and the value of each channel outside of it, ``(C,)``.
        label_key: key of the one that is a label.
        recipe: bounds the boxes.
        starts: first voxel of each patch, ``(n, axes of the volume)``.
        patch_size: voxels per axis; of fewer axes than the volume for slices.
        warps: as :func:`monai_patchgrow.transforms.warp.draw_warps` draws them.
    """
    affected, matrices = warps
    axes, slices = len(patch_size), starts.shape[1] - len(patch_size)
    box = box_size(recipe, patch_size) + (1,) * slices
    centres = starts[affected] + (np.array([*patch_size, *[1] * slices]) - 1) / 2
    first = np.ceil(centres - np.array(box) / 2).astype(int)
    boxes = {}
    for key, (volume, padding) in volumes.items():
        cut = cut_boxes(volume, first, box, padding)
        cut = cut.reshape(cut.shape[: 2 + axes])
        boxes[key] = cut if key == label_key else cut.to(torch.float32)
    own = torch.from_numpy(matrices[:, :axes, :axes]).float(), torch.from_numpy((centres - first)[:, :axes]).float()
    return Warps(torch.from_numpy(affected), *own, boxes, label_key, len(starts))


def box_size(recipe: AugmentationRecipe, patch_size: Sequence[int]) -> tuple[int, ...]:
    """Voxels per axis of a box that holds all that a patch can read under a recipe, however it is warped.

    >>> box_size(AugmentationRecipe.nnunet((40, 56, 40)), (8, 8, 8))
    (20, 20, 20)
    """
    half = [(size - 1) / 2 for size in patch_size]
    reach = _reach_of_rotations(recipe.rotation_degrees, half)
    scales = [max(1.0, recipe.scale_range[1]) if axis in recipe.scale_axes else 1.0 for axis in range(len(half))]
    # A scaled offset is rotated then, so any axis may be reached by the largest factor.
    largest = max(scales)
    # Half a voxel, since the box begins on a voxel, and the neighbour that linear interpolation reads.
    return tuple(2 * math.ceil(largest * own + 0.5) + 2 for own in reach)


def _reach_of_rotations(degrees: Sequence[float], half: Sequence[float]) -> list[float]:
    """How far from its centre a rotated patch reaches along each axis: bounded by its corner, and by each turn."""
    planes = [(0, 1)] if len(degrees) == 1 else [(1, 2), (2, 0), (0, 1)]
    bound = np.eye(len(half))
    for angle, (first, second) in zip(degrees, planes, strict=True):
        turn = np.eye(len(half))
        turn[first, second] = turn[second, first] = math.sin(math.radians(min(angle, 90.0)))
        bound = turn @ bound
    return [min(float(row @ half), math.hypot(*half)) for row in bound]


def cut_boxes(volume: Tensor, starts: np.ndarray, size: Sequence[int], padding: Tensor) -> Tensor:
    """Cut boxes of one volume, padded beyond its border.

    Args:
        volume: ``(C, *shape)``.
        starts: first voxel of each box, ``(n, axes)``; anywhere.
        size: voxels per axis.
        padding: value of each channel outside of the volume, ``(C,)``.

    Returns:
        ``(n, C, *size)``, of the volume's type.

    >>> cut_boxes(torch.arange(4)[None], np.array([[-1], [2]]), (3,), torch.tensor([9])).tolist()
    [[[9, 0, 1]], [[2, 3, 9]]]
    """
    boxes = padding.to(volume.dtype).reshape(1, -1, *[1] * len(size)).repeat(len(starts), 1, *size)
    for box, start in zip(boxes, starts.tolist(), strict=True):
        inside, within = [slice(None)], [slice(None)]
        for first, extent, voxels in zip(start, size, volume.shape[1:], strict=True):
            low, high = max(first, 0), max(min(first + extent, voxels), 0)
            inside.append(slice(low, max(high, low)))
            within.append(slice(low - first, max(high, low) - first))
        box[tuple(within)] = volume[tuple(inside)]
    return boxes


def _points(matrices: Tensor, centres: Tensor, patch_size: Sequence[int]) -> Tensor:
    """Where each voxel of each patch is read, in voxels of its box: ``(n, axes, voxels)``."""
    axes = [torch.arange(size, dtype=torch.float32, device=centres.device) - (size - 1) / 2 for size in patch_size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    return torch.baddbmm(centres[:, :, None], matrices, offsets.expand(len(matrices), -1, -1))


def _interpolate(boxes: Tensor, points: Tensor) -> Tensor:
    # torch counts in halves of the box, last axis first.
    halves = [(2 * own + 1) / size - 1 for own, size in zip(points.unbind(1), boxes.shape[2:], strict=True)]
    grid = torch.stack(halves[::-1], dim=-1)
    grid = grid.reshape(len(boxes), *[1] * (len(halves) - 1), -1, len(halves))
    return grid_sample(boxes, grid, align_corners=False).flatten(2)


def _vote(boxes: Tensor, points: Tensor) -> Tensor:
    """The class with the most weight among the neighbours of each point, ``(n, 1, voxels)``."""
    memory, lower = boxes.flatten(1), points.floor()
    fractions, strides = points - lower, [math.prod(boxes.shape[axis + 3 :]) for axis in range(points.shape[1])]
    first = torch.stack([lower[:, axis].long() * stride for axis, stride in enumerate(strides)]).sum(0)
    classes: list[Tensor] = []
    weights: list[Any] = []
    for steps in itertools.product((0, 1), repeat=len(strides)):
        offset = sum(step * stride for step, stride in zip(steps, strides, strict=True))
        classes.append(memory.gather(1, first + offset))
        shares = (fractions[:, axis] if step else 1 - fractions[:, axis] for axis, step in enumerate(steps))
        weights.append(math.prod(shares))
    return heaviest_class(torch.stack(classes), torch.stack(weights))[:, None]
