"""What the JSON of a segmentation bundle calls, from the first check to the last process' end."""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import ignite.distributed as idist
import torch
from torch import nn

from monai_patchgrow import networks
from monai_patchgrow.bundle.cpu_threads import leave_cpus_to_workers
from monai_patchgrow.bundle.device_warnings import warn_of_device
from monai_patchgrow.bundle.engine_run import run_engine
from monai_patchgrow.bundle.item_files import describe_cases, describe_split
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.output_folders import check_folders, keep_folders, leave_folders
from monai_patchgrow.bundle.ranks import default_workers, leave_ranks
from monai_patchgrow.bundle.running_config import bundle_root, check_config, read_keys, running_parser
from monai_patchgrow.bundle.seeding import seed_all
from monai_patchgrow.bundle.segmentation_classes import check_classes
from monai_patchgrow.bundle.segmentation_network import starting_network
from monai_patchgrow.bundle.segmentation_settings import OPTIONAL, SegmentationSettings
from monai_patchgrow.data import OnImageGridd, PreprocessedDataset, find_split, read_task, verify_cases
from monai_patchgrow.data.loading.shared_memory import workers_that_fit
from monai_patchgrow.handlers import amp_dtype
from monai_patchgrow.handlers.memory_rehearsal import rehearse
from monai_patchgrow.internals.monai import quiet_dicom_readers
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.transforms.patches import LOCATIONS_PER_CLASS

__all__ = [
    "LOCATIONS_PER_CLASS",
    "amp_dtype",
    "bundle_root",
    "cases_of",
    "check_config",
    "compared",
    "compiled",
    "default_workers",
    "fitting_workers",
    "leave_ranks",
    "on_device",
    "on_image_grid",
    "plan_growth",
    "prepare",
    "preprocess",
    "read_settings",
    "split_items",
    "starting_network",
    "train",
]

quiet_dicom_readers()

_logger = logging.getLogger(__name__)

Items = list[dict[str, Any]]


def read_settings() -> SegmentationSettings:
    """Parse the settings of the running config; on a fault exit with one line and code 1.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        parser = running_parser()
        names = [name for name in SegmentationSettings.ids() if name in parser or name not in OPTIONAL]
        return SegmentationSettings.parse(read_keys(names))


def prepare(settings: SegmentationSettings) -> None:
    """Check the data, seed all random numbers, and make network and trainer; on a fault exit with one line and code 1.

    Nothing is written before the data and the network have proved sound.

    Args:
        settings: of the running config.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_folders(settings)
        _check_data(settings)
        seed_all(settings.seed)
        _check_network(read_keys(["network"])["network"], settings)
        keep_folders(settings)
        try:
            trainer, schedule, inferer = read_keys(["train#trainer", "schedule", "validate#inferer"]).values()
            trainer.state.resumable_run.check(trainer)
            warn_of_device(trainer, spatial_dims=len(settings.patch_size))
            leave_cpus_to_workers(trainer)
            if settings.is_on_gpu and idist.get_world_size() == 1:
                counts = {"in_channels": len(settings.channels), "num_classes": settings.labels.num_labels}
                rehearse(trainer, schedule, **counts, windows=getattr(inferer, "sw_batch_size", 1))
        except BaseException:
            leave_folders()
            raise


def train(trainer: Any) -> None:
    """Run a trainer; what ends it on the way is one line: see `run_engine`.

    Args:
        trainer: MONAI's.
    """
    run_engine(trainer)


def split_items(dataset_dir: str, *, fold: int | Literal["all"], split_file: str | None = None) -> tuple[Items, Items]:
    """Return what is trained on and what is validated on, as MONAI's dictionary transforms take it.

    Args:
        dataset_dir: folder in the Decathlon's or nnU-Net's raw layout.
        fold: from 0, or "all", which validates on what it trains on.
        split_file: see `read_split_file`; None: nnU-Net's folds.

    Raises:
        SystemExit: a data set or a file that can't be read, in one line; the fault's own error in a process that hosts
            the bundle.
    """
    with one_line_config_errors():
        split = find_split(read_task(dataset_dir).cases, fold=fold, split_file=split_file)
    if idist.get_rank() == 0:
        for note in split.notes:
            _logger.warning(note)
    return [case.as_item() for case in split.training], [case.as_item() for case in split.validation]


def compared(settings: SegmentationSettings, split: tuple[Items, Items]) -> dict[str, Any]:
    """Return what a run that is resumed must have in common with the one before, its cases included."""
    names = ([Path(item["label"]).name for item in side] for side in split)
    return {**settings.resumed, "split": describe_split(*names), "cases": describe_cases(*split)}


def cases_of(split: tuple[Items, Items], *, part: Literal["training", "validation"]) -> Items:
    """Return one side of a split.

    >>> cases_of(([{"image": "a.nii"}], [{"image": "b.nii"}]), part="validation")
    [{'image': 'b.nii'}]
    """
    return split[("training", "validation").index(part)]


def plan_growth(network: nn.Module, *, total_stride: Sequence[int], **plan: Any) -> GrowthSchedule:
    """Plan the stages of a network, by its own total stride and smallest patch where they are known.

    Args:
        network: the plain one.
        total_stride: of a network of which no patch sizes are known.
        **plan: the other arguments of :meth:`GrowthSchedule.plan`; a `smallest_patch` of None means the network's.
    """
    rule = networks.patch_rule(network, default=total_stride)
    smallest = plan.pop("smallest_patch", None) or rule.smallest_patch
    return GrowthSchedule.plan(total_stride=rule.total_stride, smallest_patch=smallest, **plan)


def on_image_grid(*, settings: SegmentationSettings) -> OnImageGridd:
    """Make the transform that puts a label on its image's voxels, as far as the settings trust it."""
    return OnImageGridd("label", image_key="image", trust_label_voxels=settings.trust_label_voxels)


def on_device(network: nn.Module, *, settings: SegmentationSettings) -> nn.Module:
    """Move a network to the settings' device, on request into channels-last memory format."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    wanted = formats[2 + len(settings.patch_size)] if settings.channels_last else torch.preserve_format
    return network.to(settings.device, memory_format=wanted)  # type: ignore[call-overload]


def fitting_workers(*, settings: SegmentationSettings, schedule: GrowthSchedule) -> int:
    """Return the settings' number of loader workers, or fewer where shared memory does not hold their batches.

    Args:
        settings: of the running config.
        schedule: whose largest batch counts; float32 images and a byte per voxel of label.
    """
    voxels = max(stage.batch_size * math.prod(stage.patch_size) for stage in schedule.stages)
    images, label = len(settings.channels) * torch.float32.itemsize, torch.uint8.itemsize
    return workers_that_fit(settings.num_workers, batch_bytes=voxels * (images + label))


def compiled(network: nn.Module, *, settings: SegmentationSettings) -> Any:
    """Compile a network, once for each patch size, where the settings say so."""
    options = settings.compiler
    return network if options is None else torch.compile(network, **options)


def preprocess(**options: Any) -> PreprocessedDataset:
    """Make a :class:`monai_patchgrow.data.PreprocessedDataset`; on a fault exit with one line and code 1.

    Args:
        **options: the data set's arguments.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        return PreprocessedDataset(**options)


preprocess.__signature__ = inspect.signature(PreprocessedDataset)  # type: ignore[attr-defined]


def _check_data(settings: SegmentationSettings) -> None:
    folder = settings.dataset_dir
    task = read_task(folder)
    check_classes(task, folder=folder, channels=settings.channels, labels=settings.labels)
    split = find_split(task.cases, fold=settings.fold, split_file=settings.split_file)
    used = [case for case in task.cases if case in {*split.training, *split.validation}]
    if settings.verify_data or idist.get_local_rank() == 0:
        trust = settings.trust_label_voxels
        verify_cases(task, used, trust_label_voxels=trust, headers_only=not settings.verify_data)


def _check_network(network: nn.Module, settings: SegmentationSettings) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of merged stages, which comes with the schedule that is trained
        schedule = plan_growth(
            network,
            total_stride=settings.total_stride,
            patch_size=settings.patch_size,
            batch_size=settings.batch_size,
            max_epochs=settings.planned_epochs,
            curriculum=settings.curriculum,
            smallest_patch=settings.smallest_patch,
            full_patch_share=settings.full_patch_share,
            axis_order=settings.axis_order,
        )
    networks.check_network(network, schedule, in_channels=len(settings.channels))
