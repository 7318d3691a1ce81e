"""What settings of a PatchGD bundle must have in common: classes, grid, growth, turns, generated digits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from monai_patchgrow.data.synthetic.ultramnist import NUM_SUMS, UltraMNIST
from monai_patchgrow.data.tiles.turned import parse_axes
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.networks.heads.by_name import FIXED_GRID, HEADS
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["check_digits", "check_grid", "check_growth", "check_names", "check_turning"]

_NO_DRAWINGS = torch.full((10, 28, 28), 255, dtype=torch.uint8), torch.arange(10)


def check_names(names: Any, num_classes: int) -> None:
    """Check that classes have a name each, or none has.

    Raises:
        ValueError: another number of names.
    """
    if not isinstance(names, Sequence) or isinstance(names, str) or len(names) not in (0, num_classes):
        raise ValueError(f"class_names must be a list of {num_classes} names, one per class, or empty, got {names!r}")


def check_grid(
    image_size: Sequence[int] | None,
    patch: tuple[int, ...],
    stride: tuple[int, ...] | None,
    head: Any,
    *,
    leaves_out: bool = False,
) -> None:
    """Check that patches can be cut, of images that a head takes.

    Args:
        image_size: of all images, voxels per axis; None: they differ.
        patch: voxels per axis, of the full patch.
        stride: voxels per axis from one cell to the next; None: the patch.
        head: its name.
        leaves_out: whether background is ignored.

    Raises:
        ValueError: an unknown head, one that needs the size of the images or all cells, or sizes that don't go
            together.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
    if leaves_out and head == FIXED_GRID:
        raise ValueError("ignore_background needs a head that leaves cells out: conv_pooled, attention, mean or sum")
    if image_size is None:
        if head == FIXED_GRID:
            raise ValueError("the head conv needs image_size, or take conv_pooled, attention, mean or sum")
        PatchGrid(patch, patch, stride)
        return
    grid = PatchGrid(tuple(image_size), patch, stride)
    if any(size < voxels for size, voxels in zip(grid.image_size, patch, strict=True)):
        raise ValueError(
            f"patch_size must not be larger than image_size on any axis, got {format_size(patch)} "
            f"for {format_size(grid.image_size)}"
        )


def check_growth(patch: tuple[int, ...], backbone: str, head: str, plan: Mapping[str, Any]) -> None:
    """Check that a curriculum is one for whole images.

    Args:
        patch: voxels per axis, of the full patch.
        backbone: its name.
        head: its name.
        plan: further arguments of :meth:`GrowthSchedule.plan`: ``batch_size``, ``max_epochs``, ``curriculum``.

    Raises:
        ValueError: no plan, one that changes the batch, or one that changes the grid of a head that takes one only.
    """
    rule = backbone_rule(backbone, spatial_dims=len(patch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of merged stages: it comes with the schedule that is trained
        schedule = GrowthSchedule.plan(patch_size=patch, total_stride=rule.total_stride, **plan)
    if len({stage.batch_size for stage in schedule.stages}) > 1:
        raise ValueError(
            f"curriculum {schedule.curriculum} changes the number of patches per batch, but a batch of PatchGD's is "
            "of whole images: take constant, efficiency, pgps or random"
        )
    if head == FIXED_GRID and len(schedule.candidates) > 1:
        raise ValueError(
            f"curriculum {schedule.curriculum} changes the grid, and the head conv takes one grid only: "
            "take conv_pooled, attention, mean or sum"
        )


def check_turning(
    *, mirror_axes: Any, rotate90: bool, patch_size: Sequence[int], image_size: Sequence[int] | None
) -> None:
    """Check that images can be mirrored and turned.

    A quarter turn swaps an image's sides. One that isn't square no longer has the size that `image_size` says of all,
    and one that holds a patch that isn't square may no longer hold it.

    Args:
        mirror_axes: axes of the image, counted from 0.
        rotate90: whether images are turned by quarters.
        patch_size: voxels per axis, of the full patch.
        image_size: of all images, voxels per axis; None: they differ.

    Raises:
        ValueError: axes that aren't there, or turns of what isn't square.
    """
    parse_axes(mirror_axes, spatial_dims=len(patch_size), name="mirror_axes")
    if not rotate90:
        return
    if len(patch_size) != 2:
        raise ValueError(f"rotate90 turns images of 2 axes, not of {len(patch_size)}: take rotate90=False")
    for name, size in (("patch_size", patch_size), ("image_size", image_size)):
        if size is not None and len(set(size)) > 1:
            raise ValueError(
                f"rotate90 swaps an image's sides, and {name} isn't square: {format_size(tuple(size))}: "
                "take rotate90=False"
            )


def check_digits(
    *,
    image_size: tuple[int, ...] | None,
    num_classes: int,
    target: str,
    digit_pixels: tuple[int, int] | None,
    digit_counts: Sequence[int],
    num_images: Sequence[int],
    seed: int,
) -> None:
    """Check that UltraMNIST can be drawn, without reading a digit.

    Args:
        image_size: rows and columns, the same.
        num_classes: of the network.
        target: see :class:`ImageTarget`.
        digit_pixels: see :class:`UltraMNIST`.
        digit_counts: see :class:`UltraMNIST`.
        num_images: of each part.
        seed: of the images.

    Raises:
        ValueError: what :class:`UltraMNIST` refuses, images that aren't square, or fewer classes than sums.
    """
    if image_size is None or len(image_size) != 2 or len(set(image_size)) != 1:
        got = None if image_size is None else list(image_size)
        raise ValueError(f"image_size of UltraMNIST must have as many rows as columns, got {got}")
    if target != "value" and num_classes < NUM_SUMS:
        raise ValueError(
            f"num_classes must be at least {NUM_SUMS}, UltraMNIST's sums from 0 to {NUM_SUMS - 1}, got {num_classes}"
        )
    for number in num_images:
        try:
            UltraMNIST(number, image_size[0], seed, _NO_DRAWINGS, digit_pixels=digit_pixels, digit_counts=digit_counts)
        except ValueError as error:
            raise ValueError(f"digit_pixels: {error}") from error
