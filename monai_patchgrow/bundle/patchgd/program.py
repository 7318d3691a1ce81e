"""What the JSON of a classification bundle calls, from the first check to the last process' end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.utils import set_determinism
from torch import nn

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.output_folders import check_folders, keep_folders
from monai_patchgrow.bundle.patchgd import preflight
from monai_patchgrow.bundle.patchgd.data import (
    compared,
    fitting_workers,
    images_to_classify,
    labelled_images,
    preprocessed_by,
    ultramnist_images,
)
from monai_patchgrow.bundle.patchgd.inference import check_output, classify
from monai_patchgrow.bundle.patchgd.network import build_encoder, build_head, load_weights
from monai_patchgrow.bundle.patchgd.parsers import known
from monai_patchgrow.bundle.patchgd.preflight import run_engine
from monai_patchgrow.bundle.patchgd.settings import ClassificationSettings, DataKind
from monai_patchgrow.bundle.patchgd.training_plan import plan_growth, warm_up_schedule
from monai_patchgrow.bundle.plain_settings import parse_folder
from monai_patchgrow.bundle.ranks import (
    check_ranks,
    default_workers,
    join_ranks,
    leave_ranks,
    share_of_rank,
    worker_timeout,
)
from monai_patchgrow.bundle.running_config import bundle_root, check_config, read_keys, running_parser
from monai_patchgrow.bundle.seeding import seed_all
from monai_patchgrow.data.synthetic.ultramnist import UltraMNIST
from monai_patchgrow.engines.patchgd.exactness import active_dropout
from monai_patchgrow.handlers import amp_dtype, image_scores
from monai_patchgrow.internals.monai import quiet_dicom_readers
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.schedules import GrowthSchedule, PatchGrid

__all__ = [
    "PatchGrid",
    "amp_dtype",
    "bundle_root",
    "check_config",
    "check_folders",
    "check_images",
    "check_network",
    "check_output",
    "check_resume",
    "check_same",
    "classify",
    "compared",
    "default_workers",
    "find_images",
    "fitting_workers",
    "image_scores",
    "join_ranks",
    "keep_folders",
    "leave_ranks",
    "load_weights",
    "make_encoder",
    "make_head",
    "plan_growth",
    "preprocessed_by",
    "read_settings",
    "run_engine",
    "seed_all",
    "set_determinism",
    "share_of_rank",
    "split_images",
    "warm_up_schedule",
    "worker_timeout",
]

quiet_dicom_readers()

Split = tuple[Any, Any]


def read_settings(data: DataKind) -> ClassificationSettings:
    """Parse the settings of the running config; on a fault exit with one line and code 1.

    Args:
        data: what is classified.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        parser = running_parser()
        for folder in read_keys(["output_dir"]).values():  # first, since other keys' expressions are made of it
            parse_folder(folder, name="output_dir")
        present = [name for name in ClassificationSettings.ids() if name in parser]
        return ClassificationSettings.parse(read_keys(present), data=data)


def make_encoder(settings: ClassificationSettings) -> nn.Module:
    """The encoder of patches; what its options don't fit ends a command in one line."""
    return build_encoder(
        settings.backbone,
        options=settings.backbone_options,
        in_channels=len(settings.channels),
        latent_dim=settings.latent_dim,
        spatial_dims=len(settings.patch_size),
        patch_size=settings.patch_size,
        pretrained=settings.pretrained,
    )


def make_head(settings: ClassificationSettings, *, grid_shape: Sequence[int] | None) -> nn.Module:
    """The head of latent grids; what its options don't fit ends a command in one line.

    Args:
        settings: of the running config.
        grid_shape: cells per axis; None: those of the settings' images, where they have one size.
    """
    return build_head(
        settings.head,
        options=settings.head_options,
        latent_dim=settings.latent_dim,
        num_outputs=ImageTarget(settings.target, settings.num_classes).num_outputs,
        grid_shape=grid_shape or settings.grid_shape,
        spatial_dims=len(settings.patch_size),
    )


def split_images(settings: ClassificationSettings) -> Split:
    """What is trained on and what is validated on; unsound data ends a command in one line."""
    if settings.data == "digits":
        return ultramnist_images(
            settings.dataset_dir,
            num_train=known(settings.train_images),
            num_val=known(settings.val_images),
            image_size=known(settings.image_size),
            digit_pixels=settings.digit_pixels,
            digit_counts=settings.digit_counts,
            seed=settings.data_seed or 0,
        )
    options = {"target": settings.target, "volumes": settings.data == "volumes", "fold": known(settings.fold)}
    options |= {"split_file": settings.split_file}
    return labelled_images(settings.dataset_dir, num_classes=settings.num_classes, **options)


def find_images(settings: ClassificationSettings) -> list[dict[str, Any]]:
    """The images to classify; none, or unsound ones, end a command in one line."""
    return images_to_classify(settings.dataset_dir, volumes=settings.data == "volumes", output_dir=settings.output_dir)


def check_network(network: Any, settings: ClassificationSettings) -> None:
    """Check that a network can be trained as the settings say; on a fault exit with one line and code 1.

    Args:
        network: with ``encoder`` and ``head``, in training mode.
        settings: of the running config.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    preflight.check_background(network.encoder, skip_background=settings.skip_background)
    with one_line_config_errors():
        dropout = active_dropout(network.encoder) or active_dropout(network.head)
        if dropout and (settings.exact or settings.true_gradient):
            option = "exact" if settings.exact else "true_gradient"
            remedy = "a head takes head_options={'dropout': 0}"
            raise ValueError(f"{option}=True needs a network without dropout, and it has {dropout}: {remedy}")


def check_images(split: Split, preprocessing: Any, settings: ClassificationSettings) -> None:
    """Check that every image can be read, where the settings say so; on a fault exit with one line and code 1.

    Args:
        split: of the data.
        preprocessing: makes an item's image a tile source.
        settings: of the running config.

    Raises:
        SystemExit: the first fault, with the line as its message; its own error in a process that hosts the bundle.
    """
    if settings.verify_data:
        options: dict[str, Any] = {"patch_size": settings.patch_size, "read_tiles": settings.verify_tiles}
        preflight.check_images([*split[0], *split[1]], preprocessing, **options)


def check_resume(trainer: Any) -> None:
    """Check that a trainer with a ResumableRun can be resumed from its checkpoint; else exit with one line and code 1.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        trainer.state.resumable_run.check(trainer)


def check_same(settings: ClassificationSettings, *, schedule: GrowthSchedule, train: Any, val: Any) -> None:
    """Check that every rank was given the same, and that there is enough for each; else each exits with one line.

    Args:
        settings: of the running config.
        schedule: of its training.
        train: data set of the training images of all ranks.
        val: data set of the validation images of all ranks.

    Raises:
        SystemExit: any difference, or too few, with the line as its message.
    """
    sets = {"training images": train, "validation images": val}
    counts = {name: len(images) for name, images in sets.items()}
    same = {"schedule": schedule, "seed": settings.seed, "images": tuple(counts.values())}
    cases = {} if isinstance(train.data, UltraMNIST) else {name: images.data for name, images in sets.items()}
    check_ranks(cases=cases, settings={**same, "val_interval": settings.val_interval}, divided=counts)
