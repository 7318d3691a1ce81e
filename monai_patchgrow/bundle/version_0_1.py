"""What the JSON of segmentation bundles of version 0.1.0 calls, with the arguments that it gives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from monai_patchgrow import networks
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.plain_settings import check_numbers, check_switches, parse_list
from monai_patchgrow.bundle.segmentation import plan_growth, preprocess
from monai_patchgrow.bundle.segmentation_classes import check_classes, parse_channels, parse_labels
from monai_patchgrow.data import read_task, split_cases, verify_cases
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.transforms import AugmentationRecipe

__all__ = ["check_network", "check_resume", "preflight", "preprocess"]


def preflight(
    *,
    dataset_dir: str,
    fold: int | Literal["all"],
    channels: Sequence[str],
    labels: Mapping[str, str],
    strides: Sequence[Sequence[int]],
    features: Sequence[int],
    mirror_axes: Sequence[int],
    positive: Mapping[str, int],
    boolean: Mapping[str, bool | str],
    verify: bool = True,
    **plan: Any,
) -> None:
    """Check a training's settings and data; on the first fault exit with one line and code 1.

    Args:
        dataset_dir: folder in the Decathlon's or nnU-Net's raw layout.
        fold: 0 to 4, or "all".
        channels: the bundle's input channels.
        labels: the bundle's labels by value.
        strides: the network's, per level and axis.
        features: the network's, per level.
        mirror_axes: array axes that augmentation mirrors.
        positive: further settings that must be integers of at least 1, by name.
        boolean: settings that must be true or false, by name.
        verify: read every image and label.
        **plan: `num_workers`, `seed`, and arguments of :meth:`GrowthSchedule.plan`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_numbers(positive, minimum=1)
        check_numbers({name: plan.pop(name) for name in ("num_workers", "seed")}, minimum=0)
        check_switches(boolean)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of merged stages, which comes with the schedule that is trained
            full_patch = GrowthSchedule.plan(**plan).patch_size
        AugmentationRecipe.nnunet(full_patch, mirror_axes=parse_list(mirror_axes, name="mirror_axes"))
        if not isinstance(features, Sequence) or len(features) != len(strides):
            raise ValueError(f"features must have one entry per level ({len(strides)}), got {features}")
        check_numbers({f"features on level {level}": number for level, number in enumerate(features)}, minimum=1)
        product = [math.prod(level[axis] for level in strides) for axis in range(len(strides[0]))]
        if list(plan["total_stride"]) != product:
            raise ValueError(f"total_stride must be the product of the strides, {product}, got {plan['total_stride']}")
        task = read_task(str(dataset_dir))
        check_classes(task, folder=dataset_dir, channels=parse_channels(channels), labels=parse_labels(labels))
        split_cases(task.cases, fold=fold)
        if verify:
            verify_cases(task)


def check_network(network: nn.Module, *, in_channels: int, **plan: Any) -> None:
    """Check that a network can be trained on the patches of a plan; on a fault exit with one line and code 1.

    Args:
        network: as it is trained.
        in_channels: input channels.
        **plan: arguments of :meth:`GrowthSchedule.plan`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of merged stages, which comes with the schedule that is trained
        networks.check_network(network, plan_growth(network, **plan), in_channels=in_channels)


def check_resume(trainer: Any) -> None:
    """Check that a trainer with a ResumableRun can be resumed from its checkpoint; else exit with one line and code 1.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        trainer.state.resumable_run.check(trainer)
