"""A loader whose samples depend on (seed, epoch, pass, index) alone: not on workers, order or what ran before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.data import DataLoader
from monai.data.utils import set_rnd
from monai.transforms import Compose, Randomizable
from torch.utils.data import Dataset

from monai_patchgrow.data.loading.carried_draw import carried, carry_draws, without_draw
from monai_patchgrow.data.loading.rank_share import slice_of_rank
from monai_patchgrow.data.loading.seeded_sampler import SeededSampler, mix_seed
from monai_patchgrow.data.loading.stall_watch import watched
from monai_patchgrow.data.loading.worker_signals import outlive_signals
from monai_patchgrow.internals.torch import end_persistent_workers
from monai_patchgrow.schedules.sample import SampleDraw, SamplePlan
from monai_patchgrow.state.patch_size import PatchCount, PatchSize, held_at

__all__ = ["WORKER_TIMEOUT", "SeededDataLoader", "SeededSampler", "mix_seed"]

WORKER_TIMEOUT = 1800
"""Seconds without a batch after which a loader gives its workers up: one without shared memory waits for ever."""


class SeededDataLoader(DataLoader):
    """MONAI's ``DataLoader``, shuffled, with samples that depend on (seed, epoch, pass, index) alone.

    The same samples come with 0 or any number of workers, persistent or not, and after a resume. The transforms
    of the data set, and the global generators of random, numpy and torch, are seeded for each sample; the
    globals are put back afterwards, so drawing data in the main process does not move a network's dropout.

    Each sample carries its draw (:class:`monai_patchgrow.schedules.sample.SampleDraw`) from the sampler to the worker:
    a transform that says ``reads_draw = True``, as :class:`monai_patchgrow.transforms.RandPatchesd` does, finds it in
    its item under `DRAW_KEY`. It reaches neither a cache nor the batch.

    In a distributed run each rank loads its part of the batches, and all parts together are what one process loads.

    Args:
        dataset: a data set with MONAI transforms as ``.transform``; a transform that adds the draw is put into them.
        seed: seed of the run; :class:`monai_patchgrow.handlers.Reproducibility` sets it again on each epoch.
        batch_size: volumes per batch, over all ranks.
        iterations_per_epoch: batches per epoch (default: one pass through the data).
        num_workers: loader processes; persistent ones unless `persistent_workers` says otherwise, and given up
            after `WORKER_TIMEOUT` unless `timeout` says otherwise; they outlive the signals that end a run.
        **options: further options of ``monai.data.DataLoader``.

    Raises:
        ValueError: an empty data set, or a batch of fewer volumes than there are ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int = 0,
        batch_size: int = 1,
        iterations_per_epoch: int | None = None,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        if len(dataset) == 0:  # type: ignore[arg-type]
            raise ValueError("the data set is empty: there is nothing to load")
        sampler = SeededSampler(
            dataset,  # type: ignore[arg-type]
            seed=seed,
            num_samples=None if iterations_per_epoch is None else iterations_per_epoch * batch_size,
            batch_size=batch_size,
            drop_last=options.get("drop_last", False),
            rank=idist.get_rank(),
            num_ranks=idist.get_world_size(),
        )
        _check_ranks(sampler)
        options.setdefault("persistent_workers", num_workers > 0)
        options.setdefault("timeout", WORKER_TIMEOUT if num_workers else 0)
        options.setdefault("worker_init_fn", outlive_signals)
        # The loader's own generator: without it every new iterator would move torch's global one.
        options.setdefault("generator", torch.Generator().manual_seed(mix_seed(seed)))
        super().__init__(
            _SeededDataset(dataset),
            num_workers=num_workers,
            batch_size=len(slice_of_rank(batch_size, rank=sampler.rank, num_ranks=sampler.num_ranks)),
            sampler=sampler,
            **options,
        )

    def __iter__(self) -> Iterator[Any]:
        """The batches of one round; the next round within the epoch draws other passes."""
        return self._count_round(super().__iter__())

    def _count_round(self, batches: Iterator[Any]) -> Iterator[Any]:
        # Counted by what the trainer took, not by what workers drew ahead: rounds that are dropped don't count.
        yield from watched(batches, seconds=self.timeout)
        self.sampler.finish_round()

    def set_epoch(self, epoch: int, *, seed: int | None = None, first_batch: int = 1) -> None:
        """Let the next iterator draw the given epoch (from 1), under `seed` where given, from `first_batch` on."""
        self.sampler.set_epoch(epoch, seed=seed, first_batch=first_batch)

    def follow(
        self, plan: SamplePlan, *, patch_size: PatchSize | None = None, patch_count: PatchCount | None = None
    ) -> None:
        """Draw, from the next iterator on, the patches that `plan` asks for.

        Args:
            plan: the patches of each sample.
            patch_size: what stock crops read; while a sample is drawn it has that sample's size.
            patch_count: likewise.
        """
        self.sampler.plan = plan
        told = patch_size, patch_count
        if any(ours is not theirs for ours, theirs in zip(self.dataset.read_by_crops, told, strict=True)):
            self.dataset.read_by_crops = told
            end_persistent_workers(self)  # theirs are copies of the data set as it was


def _check_ranks(sampler: SeededSampler) -> None:
    """Refuse a batch that is empty on some rank: the others would wait for it."""
    if sampler.batch_size < sampler.num_ranks:
        raise ValueError(
            f"batch_size must be at least the number of ranks, got {sampler.batch_size} for {sampler.num_ranks}: start "
            f"{sampler.batch_size} or fewer, or take a batch_size of {sampler.num_ranks} or more"
        )
    last = sampler.num_samples % sampler.batch_size
    if 0 < last < sampler.num_ranks and not sampler.drop_last:
        raise ValueError(
            f"the last batch of a pass has {last} volumes, fewer than the {sampler.num_ranks} ranks: give the loader "
            "iterations_per_epoch or drop_last"
        )


class _SeededDataset(Dataset):
    """Draws samples of the data set inside: seeds everything random, and hands each its draw.

    read_by_crops: the shared size and count that stock crops read, where a growing run has told them.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.read_by_crops: tuple[PatchSize | None, PatchCount | None] = None, None
        self._transforms = carry_draws(dataset)
        self._state = np.random.RandomState()  # seeded anew for each sample: to make one takes a tenth of a draw

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: SampleDraw) -> Any:
        return self.__getitems__([draw])[0]

    def __getitems__(self, draws: Sequence[SampleDraw]) -> list[Any]:
        """The samples of a batch, which torch's loader asks for at once: the globals are put back once."""
        with _kept_globals():
            return [self._draw(draw) for draw in draws]

    def _draw(self, draw: SampleDraw) -> Any:
        with carried(draw, self._transforms), held_at(draw.patches, *self.read_by_crops):
            random.seed(draw.seed)
            np.random.seed(draw.seed)
            torch.default_generator.manual_seed(draw.seed)
            transform = getattr(self.dataset, "transform", None)
            if isinstance(transform, Compose):  # it seeds its transforms by numbers that it draws from the state
                self._state.seed(draw.seed)
                transform.set_random_state(state=self._state)
            elif isinstance(transform, Randomizable):
                transform.set_random_state(seed=draw.seed)
            else:
                set_rnd(self.dataset, seed=draw.seed)
            return without_draw(self.dataset[draw.index])


@contextmanager
def _kept_globals() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
