"""The stages of the patch size and the learning rate over the epochs of a classification bundle's training."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from monai_patchgrow.bundle.patchgd.parsers import known
from monai_patchgrow.bundle.patchgd.settings import ClassificationSettings
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.schedules import GrowthSchedule, warm_up_factor

__all__ = ["plan_growth", "warm_up_schedule"]


def plan_growth(settings: ClassificationSettings) -> GrowthSchedule:
    """The stages of the patch size over the epochs of a training."""
    return GrowthSchedule.plan(
        patch_size=settings.patch_size,
        total_stride=backbone_rule(settings.backbone, spatial_dims=len(settings.patch_size)).total_stride,
        batch_size=settings.batch_size,
        max_epochs=known(settings.planned_epochs),
        curriculum=known(settings.curriculum),
    )


def warm_up_schedule(optimizer: Optimizer, *, settings: ClassificationSettings, dataloader: Any) -> LambdaLR:
    """The learning rate per batch: up within the warm-up, then linearly towards zero at twice the epochs.

    Torch's LinearLR and SequentialLR multiply from step to step instead, which drifts by rounding.

    Args:
        optimizer: whose rate it is.
        settings: with `warm_up_epochs` and `planned_epochs`.
        dataloader: of the training; an epoch has its batches.
    """
    warm_up = known(settings.warm_up_epochs) * len(dataloader)
    zero_at = 2 * known(settings.planned_epochs) * len(dataloader)
    return LambdaLR(optimizer, partial(warm_up_factor, warm_up=warm_up, zero_at=zero_at))
