"""What a PatchGD bundle's settings must be, checked before anything is read or written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.plain_settings import check_above_zero, check_numbers, check_switches
from monai_patchgrow.data.tiles.turned import parse_axes
from monai_patchgrow.engines.patchgd.chunks import Sampling, parse_chunk_size
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.networks.heads.by_name import FIXED_GRID, HEADS
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size, parse_sizes
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["check_device", "check_settings", "check_training", "check_turns"]


def check_device(device: Any) -> None:
    """Check that a bundle's device is there; else exit with one line and code 1.

    Raises:
        SystemExit: it isn't, with the line as its message; a ValueError in a process that hosts the bundle.

    >>> check_device("cpu")
    """
    with one_line_config_errors():
        try:
            torch.empty(1, device=device)
        except Exception as error:  # of several types: of the name, of the driver, of a torch without CUDA
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"device must be one that is there, such as cpu, got {str(device)!r}: {reason}") from error


def check_settings(
    *,
    patch_size: Sequence[int],
    stride: Sequence[int] | None,
    image_size: Sequence[int] | None,
    backbone: str,
    head: str,
    target: str,
    num_classes: int,
    class_names: Sequence[str],
    chunk_size: int | None,
    positive: Mapping[str, Any],
    not_negative: Mapping[str, Any],
    boolean: Mapping[str, Any],
) -> None:
    """Check what training, evaluation and inference have in common; on the first fault exit with one line and code 1.

    Args:
        patch_size: voxels per axis, of the full patch.
        stride: voxels per axis from one cell to the next.
        image_size: of all images, voxels per axis; None: they differ.
        backbone: its name.
        head: its name.
        target: see :class:`ImageTarget`.
        num_classes: see :class:`ImageTarget`.
        class_names: one per class, or none.
        chunk_size: the most patches that are encoded at a time; None: the engine's own number.
        positive: settings that must be integers of at least 1, by name.
        not_negative: settings that must be integers of at least 0, by name.
        boolean: settings that must be true or false, by name; on a command line either spelling arrives.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        patch = parse_sizes(patch_size, name="patch_size")
        parse_chunk_size(chunk_size)
        check_numbers(positive, minimum=1)
        check_numbers(not_negative, minimum=0)
        check_switches(boolean)
        ImageTarget(target, num_classes)  # type: ignore[arg-type]
        _check_names(class_names, num_classes)
        _check_grid(image_size, patch, stride, head)
        backbone_rule(backbone, spatial_dims=len(patch))


def check_training(
    *,
    patch_size: Sequence[int],
    backbone: str,
    head: str,
    target: str,
    num_classes: int,
    class_weights: Sequence[float] | None,
    sampling: float,
    inner_steps: int | None,
    accumulation: int | None,
    learning_rate: float,
    max_gradient_norm: float | None,
    plan: Mapping[str, Any],
) -> None:
    """Check what training has beside `check_settings`; on the first fault exit with one line and code 1.

    Args:
        patch_size: voxels per axis, of the full patch.
        backbone: its name.
        head: its name.
        target: see :class:`ImageTarget`.
        num_classes: see :class:`ImageTarget`.
        class_weights: see :class:`ImageTarget`.
        sampling: see :class:`Sampling`.
        inner_steps: see :class:`Sampling`.
        accumulation: see :class:`Sampling`.
        learning_rate: above 0.
        max_gradient_norm: above 0; None: gradients are not clipped.
        plan: further arguments of :meth:`GrowthSchedule.plan`: ``batch_size``, ``max_epochs``, ``curriculum``.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_above_zero("learning_rate", learning_rate)
        if max_gradient_norm is not None:
            check_above_zero("max_gradient_norm", max_gradient_norm)
        Sampling(sampling, inner_steps, accumulation)
        ImageTarget(target, num_classes, class_weights=class_weights)  # type: ignore[arg-type]
        _check_growth(parse_sizes(patch_size, name="patch_size"), backbone, head, plan)


def _check_names(names: Any, num_classes: int) -> None:
    if not isinstance(names, Sequence) or isinstance(names, str) or len(names) not in (0, num_classes):
        raise ValueError(f"class_names must be a list of {num_classes} names, one per class, or empty, got {names!r}")


def _check_grid(image_size: Any, patch: tuple[int, ...], stride: Any, head: str) -> None:
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
    if image_size is None:
        if head == FIXED_GRID:
            raise ValueError("the head conv needs image_size, or take conv_pooled, attention, mean or sum")
        PatchGrid(patch, patch, stride)
        return
    grid = PatchGrid(image_size, patch, stride)
    if any(size < voxels for size, voxels in zip(grid.image_size, patch, strict=True)):
        raise ValueError(
            f"patch_size must not be larger than image_size on any axis, got {format_size(patch)} "
            f"for {format_size(grid.image_size)}"
        )


def _check_growth(patch: tuple[int, ...], backbone: str, head: str, plan: Mapping[str, Any]) -> None:
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


def check_turns(
    *, mirror_axes: Any, rotate90: bool = False, patch_size: Sequence[int], image_size: Sequence[int] | None
) -> None:
    """Check that images can be mirrored and turned as a bundle says; on the first fault exit with one line and code 1.

    A quarter turn swaps an image's sides. One that isn't square no longer has the size that `image_size` says of all,
    and one that holds a patch that isn't square may no longer hold it.

    Args:
        mirror_axes: axes of the image, counted from 0.
        rotate90: whether images are turned by quarters.
        patch_size: voxels per axis, of the full patch.
        image_size: of all images, voxels per axis; None: they differ.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
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
