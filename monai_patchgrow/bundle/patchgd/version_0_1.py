"""Checks that the JSON of classification bundles of version 0.1.0 calls, with the arguments that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.patchgd.rules import check_grid, check_growth, check_names, check_turning
from monai_patchgrow.bundle.plain_settings import check_above_zero, check_numbers, check_switches, parse_device
from monai_patchgrow.engines.patchgd.chunks import Sampling, parse_chunk_size
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.schedules.arguments import parse_sizes

__all__ = ["check_device", "check_settings", "check_training", "check_turns"]


def check_device(device: Any) -> None:
    """Check that a bundle's device is there; else exit with one line and code 1.

    Raises:
        SystemExit: it isn't, with the line as its message; a ValueError in a process that hosts the bundle.

    >>> check_device("cpu")
    """
    with one_line_config_errors():
        parse_device(device)


def check_settings(
    *,
    patch_size: Sequence[int],
    stride: Sequence[int] | None,
    image_size: Sequence[int] | None,
    backbone: str,
    head: str,
    chunk_size: int | None,
    positive: Mapping[str, Any],
    not_negative: Mapping[str, Any],
    boolean: Mapping[str, Any],
    **classes: Any,
) -> None:
    """Check what training, evaluation and inference have in common; on the first fault exit with one line and code 1.

    Args:
        patch_size: voxels per axis, of the full patch.
        stride: voxels per axis from one cell to the next.
        image_size: of all images, voxels per axis; None: they differ.
        backbone: its name.
        head: its name.
        chunk_size: the most patches that are encoded at a time; None: the engine's own number.
        positive: settings that must be integers of at least 1, by name.
        not_negative: settings that must be integers of at least 0, by name.
        boolean: settings that must be true or false, by name.
        **classes: ``target`` and ``num_classes`` of an :class:`ImageTarget`, and ``class_names``.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        patch = parse_sizes(patch_size, name="patch_size")
        parse_chunk_size(chunk_size)
        check_numbers(positive, minimum=1)
        check_numbers(not_negative, minimum=0)
        check_switches(boolean)
        ImageTarget(classes["target"], classes["num_classes"])
        check_names(classes["class_names"], classes["num_classes"])
        check_grid(image_size, patch, None if stride is None else tuple(stride), head)
        backbone_rule(backbone, spatial_dims=len(patch))


def check_training(
    *,
    patch_size: Sequence[int],
    backbone: str,
    head: str,
    sampling: float,
    inner_steps: int | None,
    accumulation: int | None,
    learning_rate: float,
    max_gradient_norm: float | None,
    plan: Mapping[str, Any],
    **classes: Any,
) -> None:
    """Check what training has beside `check_settings`; on the first fault exit with one line and code 1.

    Args:
        patch_size: voxels per axis, of the full patch.
        backbone: its name.
        head: its name.
        sampling: see :class:`Sampling`.
        inner_steps: see :class:`Sampling`.
        accumulation: see :class:`Sampling`.
        learning_rate: above 0.
        max_gradient_norm: above 0; None: gradients are not clipped.
        plan: further arguments of :meth:`GrowthSchedule.plan`: ``batch_size``, ``max_epochs``, ``curriculum``.
        **classes: ``target``, ``num_classes`` and ``class_weights`` of an :class:`ImageTarget`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_above_zero("learning_rate", learning_rate)
        if max_gradient_norm is not None:
            check_above_zero("max_gradient_norm", max_gradient_norm)
        Sampling(sampling, inner_steps, accumulation)
        ImageTarget(classes["target"], classes["num_classes"], class_weights=classes["class_weights"])
        check_growth(parse_sizes(patch_size, name="patch_size"), backbone, head, plan)


def check_turns(
    *, mirror_axes: Any, rotate90: bool = False, patch_size: Sequence[int], image_size: Sequence[int] | None
) -> None:
    """Check that images can be mirrored and turned as a bundle says; on the first fault exit with one line and code 1.

    Args:
        mirror_axes: axes of the image, counted from 0.
        rotate90: whether images are turned by quarters.
        patch_size: voxels per axis, of the full patch.
        image_size: of all images, voxels per axis; None: they differ.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_turning(mirror_axes=mirror_axes, rotate90=rotate90, patch_size=patch_size, image_size=image_size)
