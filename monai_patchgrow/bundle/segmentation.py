"""What a bundle checks before its first step, while nothing has been written."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from monai_patchgrow import networks
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.plain_settings import check_numbers, check_switches
from monai_patchgrow.data import DataError, PreprocessedDataset, read_task, split_cases, verify_cases
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import parse_int
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
    num_workers: int,
    seed: int,
    positive: Mapping[str, int],
    boolean: Mapping[str, bool | str],
    verify: bool = True,
    **plan: Any,
) -> None:
    """Check a training bundle's settings and data; on the first fault exit with one line and code 1.

    Args:
        dataset_dir: folder in Decathlon layout.
        fold: cross-validation fold, or "all".
        channels: the bundle's input channels; the data must have as many.
        labels: the bundle's labels by value; the data must have the same values.
        strides: the network's strides per level and axis.
        features: the network's feature channels per level.
        mirror_axes: array axes that augmentation mirrors.
        num_workers: loader processes, 0 or more.
        seed: seed of the run, 0 or more.
        positive: further settings that must be integers of at least 1, by name.
        boolean: settings that must be true or false, by name; on a command line either spelling arrives.
        verify: read every image and label, not only dataset.json.
        **plan: arguments of :meth:`GrowthSchedule.plan`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_numbers(positive, minimum=1)
        check_numbers({"num_workers": num_workers, "seed": seed}, minimum=0)
        check_switches(boolean)
        _check_mirroring(_plan(**plan).patch_size, mirror_axes)
        _check_network(strides, features, plan["total_stride"])
        task = read_task(str(dataset_dir))
        if len(task.channels) != len(channels):
            raise DataError(f"{dataset_dir}: has the channels {task.channels}, the bundle takes {tuple(channels)}")
        if sorted(task.labels) != sorted(int(value) for value in labels):
            raise DataError(f"{dataset_dir}: has the labels {dict(task.labels)}, the bundle knows {dict(labels)}")
        split_cases(task.cases, fold=fold)
        if verify:
            verify_cases(task)


def check_network(network: nn.Module, *, in_channels: int, total_stride: Sequence[int], **plan: Any) -> None:
    """Check that a network can be trained on the patches of a plan; on a fault exit with one line and code 1.

    The network's own total stride and smallest patch count, where they are known.

    Args:
        network: as it is trained.
        in_channels: input channels.
        total_stride: of a network of which no patch sizes are known.
        **plan: the other arguments of :meth:`GrowthSchedule.plan`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        rule = networks.patch_rule(network, default=total_stride)
        plan = {**plan, "total_stride": rule.total_stride, "smallest_patch": rule.smallest_patch}
        networks.check_network(network, _plan(**plan), in_channels=in_channels)


def preprocess(**options: Any) -> PreprocessedDataset:
    """Make a :class:`monai_patchgrow.data.PreprocessedDataset`; on a fault exit with one line and code 1.

    Args:
        **options: the data set's arguments.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        return PreprocessedDataset(**options)


def check_resume(trainer: Any) -> None:
    """Check that a trainer with a ResumableRun can go on from its checkpoint; else exit with one line and code 1.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        trainer.state.resumable_run.check(trainer)


def _plan(**plan: Any) -> GrowthSchedule:
    """Plan without the warning of merged stages, which comes with the schedule that is trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GrowthSchedule.plan(**plan)


def _check_mirroring(patch_size: Sequence[int], mirror_axes: Any) -> None:
    if not isinstance(mirror_axes, Sequence) or isinstance(mirror_axes, str):
        raise ValueError(f"mirror_axes must be a list of axes, got {mirror_axes!r}")
    AugmentationRecipe.nnunet(patch_size, mirror_axes=mirror_axes)


def _check_network(strides: Sequence[Sequence[int]], features: Sequence[int], total_stride: Sequence[int]) -> None:
    if not isinstance(features, Sequence) or len(features) != len(strides):
        raise ValueError(f"features must have one entry per level ({len(strides)}), got {features}")
    for number in features:
        parse_int(number, name="features", minimum=1)
    product = [math.prod(level[axis] for level in strides) for axis in range(len(strides[0]))]
    if list(total_stride) != product:
        raise ValueError(f"total_stride must be the product of the strides, {product}, got {list(total_stride)}")
