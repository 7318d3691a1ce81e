"""Voxels that a stage and a whole plan push through the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_patchgrow.schedules.plan import GrowthSchedule, Stage

__all__ = ["patch_voxels", "plan_voxels", "relative_voxels", "stage_voxels"]


def patch_voxels(patch_size: Sequence[int]) -> int:
    """Return the voxels of one patch.

    Example:
        >>> patch_voxels((16, 8, 8))
        1024
    """
    return math.prod(patch_size)


def stage_voxels(stage: Stage, *, iterations_per_epoch: int = 1) -> int:
    """Return the voxels of a stage's batches, over all of its epochs.

    Args:
        stage: a stage of a `GrowthSchedule`.
        iterations_per_epoch: batches of one epoch.

    Example:
        >>> from monai_patchgrow.schedules import Stage
        >>> stage_voxels(Stage(patch_size=(16, 8), batch_size=4, first_epoch=1, num_epochs=3))
        1536
    """
    return stage.voxels * stage.batch_size * stage.num_epochs * iterations_per_epoch


def plan_voxels(schedule: GrowthSchedule, *, iterations_per_epoch: int = 1) -> int:
    """Return the voxels of a whole plan; for `random` the expected ones, rounded.

    Example:
        >>> from monai_patchgrow.schedules import GrowthSchedule
        >>> schedule = GrowthSchedule.plan(
        ...     patch_size=(16, 16), total_stride=(8, 8), batch_size=4, max_epochs=6, curriculum="efficiency"
        ... )
        >>> plan_voxels(schedule)
        3584
    """
    return round(_expected_voxels(schedule) * iterations_per_epoch)


def relative_voxels(schedule: GrowthSchedule) -> float:
    """Return the voxels of a plan over those of `constant`, which trains on the full patch throughout.

    Example:
        >>> from monai_patchgrow.schedules import GrowthSchedule
        >>> schedule = GrowthSchedule.plan(
        ...     patch_size=(16, 16), total_stride=(8, 8), batch_size=4, max_epochs=8, curriculum="random"
        ... )
        >>> relative_voxels(schedule)
        0.75
    """
    constant = patch_voxels(schedule.patch_size) * schedule.batch_size * schedule.max_epochs
    return float(_expected_voxels(schedule) / constant)


def _expected_voxels(schedule: GrowthSchedule) -> Fraction:
    """Return the voxels of a plan with one iteration per epoch, exactly."""
    if not schedule.is_random:
        return Fraction(sum(stage_voxels(stage) for stage in schedule.stages))
    drawn = sum(patch_voxels(size) for size in schedule.candidates)
    return Fraction(drawn * schedule.batch_size * schedule.max_epochs, len(schedule.candidates))
