"""Stage: consecutive epochs on one patch size; and the stages of a whole run as one frozen value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from monai_patchgrow.schedules.pacing import Pacing

__all__ = ["RANDOM", "Stage", "StagePlan", "patch_voxels"]

RANDOM = "random"
"""The curriculum that draws a size for every iteration."""


@dataclass(frozen=True)
class Stage:
    """Consecutive epochs on one patch size.

    Attributes:
        patch_size: voxels per axis.
        batch_size: patches per batch.
        first_epoch: first epoch of the stage; epochs count from 1.
        num_epochs: epochs of the stage.

    Example:
        >>> stage = Stage(patch_size=(16, 8, 8), batch_size=9, first_epoch=67, num_epochs=66)
        >>> stage.last_epoch, stage.voxels
        (132, 1024)
    """

    patch_size: tuple[int, ...]
    batch_size: int
    first_epoch: int
    num_epochs: int

    @property
    def last_epoch(self) -> int:
        """Last epoch of the stage, itself included."""
        return self.first_epoch + self.num_epochs - 1

    @property
    def voxels(self) -> int:
        """Voxels of one patch."""
        return patch_voxels(self.patch_size)


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """The figures of a planned run: what :class:`monai_patchgrow.GrowthSchedule` plans, prints and counts.

    Attributes:
        curriculum: one of `schedules.CURRICULA`.
        patch_size: full patch, voxels per axis, in the axis order of the arrays.
        total_stride: product of the network's strides, voxels per axis.
        batch_size: patches per batch at the full patch.
        max_epochs: epochs of the run.
        stages: the stages in their order; `random` has one, at the full patch.
        candidates: the sizes that patches may have, from small to full: those of the stages, or, for
            `random`, those that iterations are drawn from.
        planned_stages: stages that the curriculum has where the epochs suffice; above `len(stages)` when
            stages were merged for lack of epochs.
        pacing: how the epochs were shared out among the stages.
    """

    curriculum: str
    patch_size: tuple[int, ...]
    total_stride: tuple[int, ...]
    batch_size: int
    max_epochs: int
    stages: tuple[Stage, ...]
    candidates: tuple[tuple[int, ...], ...]
    planned_stages: int
    pacing: Pacing = field(default_factory=Pacing)

    @property
    def is_random(self) -> bool:
        """Whether every iteration draws its size from `candidates`."""
        return self.curriculum == RANDOM

    @property
    def is_merged(self) -> bool:
        """Whether stages were left out because there are more of them than epochs."""
        return len(self.stages) < self.planned_stages

    @property
    def has_one_size(self) -> bool:
        """Whether all patches are full ones, however many epochs there are."""
        return len(self.candidates) == 1 and not self.is_merged


def patch_voxels(patch_size: Sequence[int]) -> int:
    """Return the voxels of one patch.

    Example:
        >>> patch_voxels((16, 8, 8))
        1024
    """
    return math.prod(patch_size)
