"""What one sample of an epoch is, decided with integers before a voxel is read: which case, seed, place and patches."""

from __future__ import annotations

from dataclasses import dataclass

from monai_patchgrow.schedules.plan import GrowthSchedule

__all__ = ["DRAW_KEY", "SampleDraw", "SamplePatches", "SamplePlan"]

DRAW_KEY = "patchgrow_draw"
"""Key of an item under which a transform that reads the draw (``reads_draw = True``) finds its :class:`SampleDraw`."""


@dataclass(frozen=True)
class SamplePatches:
    """The patches of one sample.

    size: voxels per axis.
    count: patches that are drawn of the sample's volume.
    before: patches that were drawn before, of the other samples of the epoch.
    """

    size: tuple[int, ...]
    count: int
    before: int


@dataclass(frozen=True)
class SampleDraw:
    """One sample to draw, with everything that it depends on; it travels from the sampler to the transforms.

    index: number of the case in the data set.
    seed: seed of the sample (32 bits).
    position: number of the sample within its epoch, from 0.
    patches: its patches; None where no growing run follows a plan.
    """

    index: int
    seed: int = 0
    position: int = 0
    patches: SamplePatches | None = None


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """Which patches each sample of a growing run gives.

    All volumes of a batch give as many patches, the first ones one more where the batch is no multiple.

    Args:
        schedule: stages of the run.
        volumes: samples per batch.
        epoch_length: iterations per epoch.
        seed: seed of the sizes that the curriculum ``random`` draws.

    >>> schedule = GrowthSchedule.plan(patch_size=[16, 16], total_stride=[8, 8], batch_size=3, max_epochs=6)
    >>> plan = SamplePlan(schedule=schedule, volumes=2, epoch_length=10, seed=0)
    >>> plan.patches_at(epoch=3, batch=2, sample=1)
    SamplePatches(size=(16, 8), count=1, before=5)
    """

    schedule: GrowthSchedule
    volumes: int
    epoch_length: int
    seed: int

    def patches_at(self, *, epoch: int, batch: int, sample: int) -> SamplePatches:
        """The patches of a sample (of its batch, from 0) of a batch (of its epoch, from 1) of an epoch (from 1)."""
        iteration = (epoch - 1) * self.epoch_length + batch
        size = self.schedule.patch_size_at(epoch=epoch, iteration=iteration, seed=self.seed)
        wanted = self.schedule.stage_at(epoch).batch_size
        each, rest = divmod(wanted, self.volumes)
        before = (batch - 1) * wanted + sample * each + min(sample, rest)
        return SamplePatches(size, each + (sample < rest), before)
