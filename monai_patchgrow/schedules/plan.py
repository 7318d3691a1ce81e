"""GrowthSchedule: patch size, batch size and epochs of every stage of a run, in one frozen, printable value."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsIndex

from monai_patchgrow.schedules.arguments import parse_int, parse_sizes
from monai_patchgrow.schedules.cost import relative_voxels
from monai_patchgrow.schedules.curricula import RANDOM, find_curriculum
from monai_patchgrow.schedules.pacing import Pacing
from monai_patchgrow.schedules.stage import Stage, StagePlan
from monai_patchgrow.schedules.table import merge_note, stage_table

__all__ = ["GrowthSchedule"]


@dataclass(frozen=True, kw_only=True)
class GrowthSchedule(StagePlan):
    """Plan of a run with a growing patch (PGPS: MICCAI 2024; arXiv 2510.23241); `plan` makes one.

    Two schedules are equal when they train alike. They can be hashed, pickled and printed.

    Its attributes are those of :class:`monai_patchgrow.schedules.stage.StagePlan`.

    Example:
        >>> print(
        ...     GrowthSchedule.plan(
        ...         patch_size=(16, 16),
        ...         total_stride=(8, 8),
        ...         batch_size=4,
        ...         max_epochs=7,
        ...         curriculum="efficiency",
        ...     )
        ... )
        efficiency: full patch 16x16, total stride 8x8, batch size 4, 7 epochs
        stage  patch size  patches per batch  first-last epoch  epochs  voxels per iteration  share of full
            1         8x8                  4               1-2       2                   256          25.0%
            2        16x8                  4               3-4       2                   512          50.0%
            3       16x16                  4               5-7       3                 1,024         100.0%
        0.64 of constant's voxels
    """

    @classmethod
    def plan(
        cls,
        *,
        patch_size: Iterable[SupportsIndex],
        total_stride: Iterable[SupportsIndex],
        batch_size: SupportsIndex,
        max_epochs: SupportsIndex,
        curriculum: str = "efficiency",
        smallest_patch: Iterable[SupportsIndex] | None = None,
        axis_order: Iterable[SupportsIndex] | None = None,
        full_patch_share: float | None = None,
    ) -> GrowthSchedule:
        """Plan a run; with more stages than epochs it warns and merges stages evenly.

        Args:
            patch_size: full patch, voxels per axis, 1 to 3 axes.
            total_stride: product of the network's strides, voxels per axis.
            batch_size: patches per batch at the full patch.
            max_epochs: epochs of the run.
            curriculum: one of `schedules.CURRICULA`.
            smallest_patch: first patch in place of the curriculum's own, voxels per axis, for networks that
                take no patch as small as their stride (ViT, Swin, BatchNorm).
            axis_order: `axis_order[i]` is the array axis that plays the authors' axis i; default (0, 1, ...).
                (2, 1, 0) grows an array (x, y, z), as MONAI loads NIfTI, like the authors' (z, y, x).
            full_patch_share: share of the epochs on the full patch, above 0 and up to 1; default: the papers', one
                of as many equal parts as there are stages.

        Raises:
            ValueError: the network takes no such patch (the message names the axis and the nearest legal
                sizes), an unknown curriculum, or a number that is no positive integer.

        Example:
            >>> GrowthSchedule.plan(
            ...     patch_size=[40, 56, 40], total_stride=[8, 8, 8], batch_size=9, max_epochs=1000
            ... ).stage_at(67)
            Stage(patch_size=(16, 8, 8), batch_size=9, first_epoch=67, num_epochs=66)
        """
        rules = find_curriculum(curriculum)
        pacing = Pacing(full_patch_share=full_patch_share)
        full, stride, smallest, order = _parse_axes(patch_size, total_stride, smallest_patch, axis_order)
        batch, epochs = parse_int(batch_size, name="batch_size"), parse_int(max_epochs, name="max_epochs")
        grown = rules.grow(full, stride, smallest_patch=smallest, axis_order=order)
        sizes = grown[-1:] if curriculum == RANDOM else grown
        stages = _make_stages(sizes, rules.batch(sizes, batch_size=batch), epochs, pacing)
        schedule = cls(
            curriculum=curriculum,
            patch_size=full,
            total_stride=stride,
            batch_size=batch,
            max_epochs=epochs,
            stages=stages,
            candidates=grown if curriculum == RANDOM else tuple(s.patch_size for s in stages),
            planned_stages=len(sizes),
            pacing=pacing,
        )
        if schedule.is_merged:
            warnings.warn(merge_note(schedule), stacklevel=2)
        return schedule

    @property
    def relative_voxels(self) -> float:
        """Voxels of the whole plan over those of `constant`."""
        return relative_voxels(self)

    def stage_at(self, epoch: SupportsIndex) -> Stage:
        """Return the stage that an epoch belongs to.

        Raises:
            ValueError: no integer from 1 to `max_epochs`.

        Example:
            >>> schedule = GrowthSchedule.plan(patch_size=[16], total_stride=[8], batch_size=4, max_epochs=5)
            >>> schedule.stage_at(2)
            Stage(patch_size=(8,), batch_size=4, first_epoch=1, num_epochs=2)
        """
        number = parse_int(epoch, name="epoch", maximum=self.stages[-1].last_epoch)
        return next(stage for stage in self.stages if number <= stage.last_epoch)

    def patch_size_at(self, *, epoch: SupportsIndex, iteration: SupportsIndex, seed: SupportsIndex) -> tuple[int, ...]:
        """Return the patch size of one iteration, voxels per axis; only `random` differs from `stage_at`'s.

        `random` draws from `candidates` by the seed and the iteration alone: on any machine, in any process
        and after a resume the same size.

        Args:
            epoch: epoch, counted from 1.
            iteration: iteration, counted from 1 over the whole run.
            seed: seed of the run, at least 0.

        Raises:
            ValueError: an epoch outside of the plan, or a number that is no such integer.

        Example:
            >>> schedule = GrowthSchedule.plan(
            ...     patch_size=[24], total_stride=[8], batch_size=4, max_epochs=5, curriculum="random"
            ... )
            >>> [schedule.patch_size_at(epoch=1, iteration=i, seed=0) for i in (1, 2, 3, 4)]
            [(16,), (16,), (24,), (24,)]
        """
        stage = self.stage_at(epoch)
        drawn = parse_int(iteration, name="iteration"), parse_int(seed, name="seed", minimum=0)
        if not self.is_random:
            return stage.patch_size
        # Python keeps the sequence of random() over its versions, which it does not promise for choice().
        fraction = random.Random("iteration {}, seed {}".format(*drawn)).random()
        return self.candidates[int(fraction * len(self.candidates))]

    def __str__(self) -> str:
        """Return the stage table."""
        return stage_table(self)


def _parse_axes(
    patch_size: Iterable[SupportsIndex],
    total_stride: Iterable[SupportsIndex],
    smallest_patch: Iterable[SupportsIndex] | None,
    axis_order: Iterable[SupportsIndex] | None,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None, tuple[int, ...] | None]:
    full = parse_sizes(patch_size, name="patch_size")
    stride = parse_sizes(total_stride, name="total_stride")
    smallest = None if smallest_patch is None else parse_sizes(smallest_patch, name="smallest_patch")
    order = None if axis_order is None else parse_sizes(axis_order, name="axis_order", minimum=0)
    return full, stride, smallest, order


def _make_stages(
    sizes: tuple[tuple[int, ...], ...], batches: tuple[int, ...], max_epochs: int, pacing: Pacing
) -> tuple[Stage, ...]:
    kept = pacing.kept(num_stages=len(sizes), max_epochs=max_epochs)
    spans = pacing.spans(len(kept), max_epochs=max_epochs)
    return tuple(Stage(sizes[i], batches[i], *span) for i, span in zip(kept, spans, strict=True))
