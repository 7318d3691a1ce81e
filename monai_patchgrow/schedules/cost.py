"""Voxels that a stage and a whole plan push through the network."""

from __future__ import annotations

from fractions import Fraction

from monai_patchgrow.schedules.stage import Stage, StagePlan, patch_voxels

__all__ = ["relative_voxels", "stage_voxels"]


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


def relative_voxels(schedule: StagePlan) -> float:
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


def _expected_voxels(schedule: StagePlan) -> Fraction:
    """Return the voxels of a plan with one iteration per epoch, exactly."""
    if not schedule.is_random:
        return Fraction(sum(stage_voxels(stage) for stage in schedule.stages))
    drawn = sum(patch_voxels(size) for size in schedule.candidates)
    return Fraction(drawn * schedule.batch_size * schedule.max_epochs, len(schedule.candidates))
