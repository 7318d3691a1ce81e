"""A schedule as the text that `print` shows: one aligned row per stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.schedules.cost import relative_voxels
from monai_patchgrow.schedules.stage import StagePlan, patch_voxels

__all__ = ["merge_note", "stage_table"]

_HEAD = (
    "stage",
    "patch size",
    "patches per batch",
    "first-last epoch",
    "epochs",
    "voxels per iteration",
    "share of full",
)


def stage_table(schedule: StagePlan) -> str:
    """Return the stage table; for `random` a row for every size that iterations are drawn from.

    Example:
        >>> from monai_patchgrow.schedules import GrowthSchedule
        >>> schedule = GrowthSchedule.plan(
        ...     patch_size=[16], total_stride=[8], batch_size=4, max_epochs=5, curriculum="performance"
        ... )
        >>> print(stage_table(schedule))
        performance: full patch 16, total stride 8, batch size 4, 5 epochs
        stage  patch size  patches per batch  first-last epoch  epochs  voxels per iteration  share of full
            1           8                  8               1-2       2                    64         100.0%
            2          16                  4               3-5       3                    64         100.0%
        1.00 of constant's voxels
    """
    sizes = f"full patch {format_size(schedule.patch_size)}, total stride {format_size(schedule.total_stride)}"
    epochs = f"{schedule.max_epochs} epoch{'s' if schedule.max_epochs > 1 else ''}"
    lines = [f"{schedule.curriculum}: {sizes}, batch size {schedule.batch_size}, {epochs}{_pacing_note(schedule)}"]
    lines.extend(_align([_HEAD, *_rows(schedule)]))
    if schedule.is_random:
        lines.append(f"every iteration draws one of these {len(schedule.candidates)} sizes uniformly")
    if schedule.is_merged:
        lines.append(merge_note(schedule))
    return "\n".join([*lines, f"{relative_voxels(schedule):.2f} of constant's voxels"])


def merge_note(schedule: StagePlan) -> str:
    """Return the line that says that stages were merged for lack of epochs.

    Example:
        >>> from monai_patchgrow.schedules import GrowthSchedule
        >>> schedule = GrowthSchedule.plan(
        ...     patch_size=[24], total_stride=[8], batch_size=4, max_epochs=3, curriculum="efficiency"
        ... )
        >>> from dataclasses import replace
        >>> merge_note(replace(schedule, planned_stages=5))
        "max_epochs=3 is fewer than the 5 stages of 'efficiency': merged evenly into 3, one epoch each"
    """
    if schedule.max_epochs >= schedule.planned_stages:
        left = schedule.stages[-1].first_epoch - 1
        return (
            f"max_epochs={schedule.max_epochs} and full_patch_share={schedule.pacing.full_patch_share:g} leave {left} "
            f"epochs to the {schedule.planned_stages - 1} stages of {schedule.curriculum!r} before the full patch: "
            f"merged evenly into {len(schedule.stages) - 1}"
        )
    return (
        f"max_epochs={schedule.max_epochs} is fewer than the {schedule.planned_stages} stages of "
        f"{schedule.curriculum!r}: merged evenly into {len(schedule.stages)}, one epoch each"
    )


def _pacing_note(schedule: StagePlan) -> str:
    """What sets the stages' lengths apart from the papers'."""
    share = schedule.pacing.full_patch_share
    return "" if share is None else f", full_patch_share {share:g}"


def _rows(schedule: StagePlan) -> Iterator[tuple[str, ...]]:
    stages = schedule.stages
    if schedule.is_random:
        stages = tuple(replace(stages[0], patch_size=size) for size in schedule.candidates)
    budget = schedule.batch_size * patch_voxels(schedule.patch_size)
    for number, stage in enumerate(stages, start=1):
        voxels = stage.batch_size * stage.voxels
        yield (
            "any" if schedule.is_random else str(number),
            format_size(stage.patch_size),
            str(stage.batch_size),
            f"{stage.first_epoch}-{stage.last_epoch}",
            str(stage.num_epochs),
            f"{voxels:,}",
            f"{voxels / budget:.1%}",
        )


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
