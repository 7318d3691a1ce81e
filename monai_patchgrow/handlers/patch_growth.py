"""The Ignite handler that grows the patch size of a run stage by stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from ignite.engine import Engine, Events
from monai.data import ThreadDataLoader

from monai_patchgrow.data.loading.seeded import SeededDataLoader
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.handlers.redraw import prepare_redraw, redrawn
from monai_patchgrow.handlers.reproducibility import seed_of
from monai_patchgrow.handlers.stage_batch import check_patches, keep_patches
from monai_patchgrow.schedules import GrowthSchedule, Stage
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.schedules.sample import SamplePlan
from monai_patchgrow.state import PatchCount, PatchSize
from monai_patchgrow.transforms.sized import refuse_cached_patch_size, share_patch_size

__all__ = ["PatchGrowth"]

_logger = logging.getLogger(__name__)


class PatchGrowth:
    """Sets the patch size, and the number of patches per volume, that the stage of each epoch asks for.

    The stage follows from the epoch alone, so a resumed run is in the right stage whatever it loads. Every batch is
    checked, and cut to the stage's number of patches where that is no multiple of the volumes in a batch.

    This handler owns the size: it gives a :class:`monai_patchgrow.data.SeededDataLoader` the plan, by which each sample
    carries its own size and count to the worker, where ``RandPatchesd`` reads them in the item; and it sets the shared
    `patch_size` and `patch_count`, which stock crops read. Of another loader the iterator, and its workers, are thrown
    away before a change and made anew after it, so that none draws a patch of the old size for a batch of the new
    stage.

    An engine that cuts the patches itself, and whose ``patch_size`` is the shared size, as a
    :class:`monai_patchgrow.PatchGDTrainer` can be given it, keeps its loader and its batches of whole images.

    Leaves on ``engine.state``: ``stage`` (the :class:`Stage`), ``stage_number`` (from 1), ``num_stages``,
    ``patch_size`` (voxels per axis), and itself as ``patch_growth``.

    Source: Fischer et al., "Progressive Growing of Patch Size", MICCAI 2024 (arXiv 2407.07853);
    journal version 2025 (arXiv 2510.23241).

    Args:
        schedule: the plan; it must cover the epochs of the trainer.
        patch_size: the shared size that the crops read; made here when only `transform` is given.
        patch_count: the shared number of patches per volume that the crops read.
        transform: a MONAI crop or a whole pipeline (``"@train#preprocessing"``), written for the full patch:
            its random crops are made to read the shared values (see
            :func:`monai_patchgrow.transforms.share_patch_size`).
        image_key: the key of the batch whose tensor ``(B, C, *patch)`` is checked.
        seed: seed of the draws of the curriculum ``random``; that of a Reproducibility on the trainer comes first.

    Raises:
        ValueError: neither `patch_size` nor `transform`; what ``share_patch_size`` refuses; several patches
            per volume without a `patch_count`, or on an engine that cuts whole images; ``random`` with loader workers
            but another loader than :class:`monai_patchgrow.data.SeededDataLoader`; on start, more epochs than planned.

    >>> from ignite.engine import Engine
    >>> from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize
    >>> schedule = GrowthSchedule.plan(
    ...     patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=6, curriculum="efficiency"
    ... )
    >>> size, seen = PatchSize((16, 16)), []
    >>> engine = Engine(lambda engine, batch: seen.append(tuple(size)))
    >>> PatchGrowth(schedule, size).attach(engine)
    >>> _ = engine.run([0], max_epochs=6)
    >>> seen
    [(8, 8), (8, 8), (16, 8), (16, 8), (16, 16), (16, 16)]
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("Throughput", Events.EPOCH_STARTED, "which starts the clock that drawing anew counts on"),
    )

    def __init__(
        self,
        schedule: GrowthSchedule,
        patch_size: PatchSize | None = None,
        patch_count: PatchCount | None = None,
        *,
        transform: Any = None,
        image_key: str = "image",
        seed: int = 0,
    ) -> None:
        if patch_size is None and transform is None:
            raise ValueError("PatchGrowth needs patch_size (a PatchSize that the crops read) or transform")
        self.schedule = schedule
        self.patch_size = PatchSize(schedule.patch_size) if patch_size is None else patch_size
        self.patch_count = PatchCount() if patch_count is None and transform is not None else patch_count
        self.transform = transform
        self.image_key = image_key
        self.seed = seed
        self._volumes = schedule.batch_size
        self._engine_cuts = False

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; a MONAI trainer's ``data_loader`` is checked here, another's on start."""
        self._engine_cuts = getattr(engine, "patch_size", None) is self.patch_size
        loader = getattr(engine, "data_loader", None)
        if loader is not None:
            self._check_loader(loader)
        if self.transform is not None:
            share_patch_size(
                self.transform,
                full_size=self.schedule.patch_size,
                patch_size=self.patch_size,
                patch_count=self.patch_count,
                full_count=self._patches_per_volume(self.schedule.stages[-1]),
                most_per_volume=self._most_per_volume,
            )
            refuse_cached_patch_size(getattr(loader, "dataset", None))
        engine.state.patch_growth = self
        check_order_on_start(engine)
        prepare_redraw(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        if not self._engine_cuts:
            engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._check_batch)
        if self.schedule.is_random:
            engine.add_event_handler(Events.GET_BATCH_STARTED, self._draw_size)

    def __call__(self, engine: Engine) -> None:
        """Enter the stage of ``engine.state.epoch``."""
        self.seed = seed_of(engine, self.seed)
        stage = self.schedule.stage_at(engine.state.epoch)
        count = self._patches_per_volume(stage)
        is_seeded = isinstance(engine.state.dataloader, SeededDataLoader)
        changes = stage.patch_size != tuple(self.patch_size) or self.patch_count not in (None, count)
        is_late = changes and not (is_seeded or self._engine_cuts or self.schedule.is_random)
        with redrawn(engine, end_workers=True) if is_late else nullcontext():
            self.patch_size.set(stage.patch_size)
            if self.patch_count is not None:
                self.patch_count.set(count)
        if changes and torch.cuda.is_available():
            torch.cuda.empty_cache()  # blocks of the last stage's sizes, which the next one's don't fit
        if is_seeded:
            self._lead_loader(engine)
        self._announce(engine)

    def state_dict(self) -> dict[str, Any]:
        """The plan's curriculum and length: what a resumed run is compared with."""
        return {"curriculum": self.schedule.curriculum, "max_epochs": self.schedule.max_epochs}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Warn when the plan is another one than the checkpoint's; the stage itself comes from the epoch."""
        if dict(state_dict) != self.state_dict():
            _logger.warning("resumed under another plan: %s then, %s now", dict(state_dict), self.state_dict())

    def _start(self, engine: Engine) -> None:
        self._check_loader(engine.state.dataloader)
        if engine.state.max_epochs is not None and engine.state.max_epochs > self.schedule.max_epochs:
            raise ValueError(
                f"the trainer runs {engine.state.max_epochs} epochs, the schedule plans {self.schedule.max_epochs}: "
                "give both the same max_epochs"
            )
        if engine.state.max_epochs is not None and engine.state.max_epochs < self.schedule.stages[-1].first_epoch:
            _logger.warning(
                "the trainer stops after epoch %s, before the full patch, which starts at epoch %s: plan with the "
                "trainer's max_epochs",
                *(engine.state.max_epochs, self.schedule.stages[-1].first_epoch),
            )
        if self.schedule.has_one_size and self.schedule.curriculum != "constant":
            _logger.warning(
                "the patch does not grow by %s: none smaller than the full %s is allowed with a total stride of %s",
                self.schedule.curriculum,
                *(format_size(self.schedule.patch_size), format_size(self.schedule.total_stride)),
            )

    def _lead_loader(self, engine: Engine) -> None:
        """Give a seeded loader the plan, and the epoch where no Reproducibility does."""
        loader: Any = engine.state.dataloader
        length = engine.state.epoch_length or 0
        plan = SamplePlan(schedule=self.schedule, volumes=self._volumes, epoch_length=length, seed=self.seed)
        loader.follow(plan, patch_size=self.patch_size, patch_count=self.patch_count)
        if not hasattr(engine.state, "reproducibility") and loader.sampler.epoch != engine.state.epoch:
            with redrawn(engine):
                loader.set_epoch(engine.state.epoch)

    def _announce(self, engine: Engine) -> None:
        stage = self.schedule.stage_at(engine.state.epoch)
        state = engine.state
        state.stage, state.patch_size = stage, stage.patch_size
        state.stage_number = self.schedule.stages.index(stage) + 1
        state.num_stages = len(self.schedule.stages)

    def _draw_size(self, engine: Engine) -> None:
        state = engine.state
        size = self.schedule.patch_size_at(epoch=state.epoch, iteration=state.iteration + 1, seed=self.seed)
        self.patch_size.set(size)
        state.patch_size = size

    def _check_batch(self, engine: Engine) -> None:
        batch = engine.state.batch
        if not isinstance(batch, Mapping) or self.image_key not in batch:
            return
        image = batch[self.image_key]
        check_patches(image.shape[2:], engine.state.patch_size)
        if len(image) > (wanted := engine.state.stage.batch_size):
            engine.state.batch = keep_patches(batch, wanted, total=len(image))

    def _check_loader(self, loader: Any) -> None:
        """Take the volumes per batch from the loader, and refuse one that can't serve the plan."""
        self._volumes = _volumes_per_batch(loader) or self.schedule.batch_size
        if self._most_per_volume > 1 and self.patch_count is None:
            ours = "give PatchGrowth a patch_count and the crop the same object as num_samples"
            whole = "a trainer of whole images needs a curriculum that keeps the batch size, such as efficiency"
            raise ValueError(
                f"curriculum {self.schedule.curriculum} draws up to {self._most_per_volume} patches per volume: "
                f"{whole if self._engine_cuts else ours}"
            )
        if self._volumes > self.schedule.batch_size:
            raise ValueError(
                f"the loader's batches come from {self._volumes} volumes, the schedule plans "
                f"{self.schedule.batch_size} patches a batch: give both the same batch_size"
            )
        draws_ahead = getattr(loader, "num_workers", None) or isinstance(loader, ThreadDataLoader)
        is_in_time = self._engine_cuts or isinstance(loader, SeededDataLoader)
        if self.schedule.is_random and draws_ahead and not is_in_time:
            raise ValueError(
                "curriculum random draws one size per iteration: use a monai_patchgrow.data.SeededDataLoader, which "
                "tells its workers, or a DataLoader with num_workers=0"
            )
        refuse_cached_patch_size(getattr(loader, "dataset", None))

    @property
    def _most_per_volume(self) -> int:
        return max(map(self._patches_per_volume, self.schedule.stages))

    def _patches_per_volume(self, stage: Stage) -> int:
        return -(-stage.batch_size // self._volumes)


def _volumes_per_batch(loader: Any) -> int | None:
    """How many volumes a batch of the loader comes from; None where the loader does not say."""
    if isinstance(loader, SeededDataLoader):
        return loader.sampler.batch_size  # over all ranks
    sampler = getattr(loader, "batch_sampler", None)
    return getattr(loader, "batch_size", None) or getattr(sampler, "batch_size", None)
