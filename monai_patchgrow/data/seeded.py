"""A loader whose samples depend on (seed, epoch, pass, index) alone: not on workers, order or what ran before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader
from monai.data.utils import set_rnd
from monai.transforms import Randomizable
from torch.utils.data import Dataset, Sampler

from monai_patchgrow.state.drawn_sample import DrawnPatches, drawn_sample

__all__ = ["SeededDataLoader", "SeededIndex", "SeededSampler", "mix_seed"]


def mix_seed(*parts: int) -> int:
    """One well-mixed seed (32 bits) from several small numbers; the same on every machine.

    >>> mix_seed(0, 1), mix_seed(1, 0)
    (3964924996, 1835504127)
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class SeededIndex(int):
    """An index into a data set that carries, to whichever worker serves it, what its sample depends on.

    seed: seed of the sample (32 bits).
    position: number of the sample within its epoch, from 0.
    patches: size and number of its patches; None where nobody told the sampler.
    """

    seed: int
    position: int
    patches: DrawnPatches | None

    def __new__(cls, index: int, seed: int = 0, position: int = 0, patches: DrawnPatches | None = None) -> SeededIndex:
        """The index, with what its sample depends on."""
        instance = super().__new__(cls, index)
        instance.seed, instance.position, instance.patches = seed, position, patches
        return instance


class SeededSampler(Sampler[int]):
    """Shuffled passes through a data set, each drawn from (seed, epoch, pass).

    Args:
        data_source: what is sampled; only its length counts.
        seed: seed of the whole run.
        num_samples: indices per iteration over the sampler (default: one pass); more than one pass is drawn
            where that takes several.
        batch_size, drop_last: the loader's; they only count where `patches_at` is set.

    Attributes:
        patches_at: what the patches of a sample are, as a function of (epoch, batch within the epoch, sample within
            the batch), the first two from 1, the last from 0. It travels with each index, so workers that draw ahead
            are never late.

    >>> sampler = SeededSampler(range(3), seed=0, num_samples=5)
    >>> first = list(sampler)
    >>> sorted(first[:3]), len(first), isinstance(first[0], SeededIndex)
    ([0, 1, 2], 5, True)
    >>> list(sampler) == first
    True
    >>> sampler.finished_rounds = 1  # as the loader does when an epoch wants more batches than it has
    >>> list(sampler) == first
    False
    """

    patches_at: Callable[[int, int, int], DrawnPatches] | None = None

    def __init__(
        self,
        data_source: Sized,
        *,
        seed: int,
        num_samples: int | None = None,
        batch_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        self.data_source = data_source
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.num_samples = len(data_source) if num_samples is None else num_samples
        self.epoch = 0
        self.finished_rounds = 0

    def set_epoch(self, epoch: int, *, seed: int | None = None) -> None:
        """Start the given epoch (from 1, as Ignite counts) over, under another run's `seed` where given."""
        self.epoch = epoch
        self.seed = self.seed if seed is None else seed
        self.finished_rounds = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        length = len(self.data_source)
        passes = -(-self.num_samples // length)
        for drawn in range(self.num_samples):
            number = self.finished_rounds * passes + drawn // length
            if drawn % length == 0:
                generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch, number))
                order = torch.randperm(length, generator=generator).tolist()
            index = order[drawn % length]
            position = self.finished_rounds * self.num_samples + drawn
            seed = mix_seed(self.seed, self.epoch, number, index)
            yield SeededIndex(index, seed, position, self._patches(drawn))

    def _patches(self, drawn: int) -> DrawnPatches | None:
        """The patches of the sample of this number within the round."""
        if self.patches_at is None:
            return None
        batches, rest = divmod(self.num_samples, self.batch_size)
        batches_per_round = batches if self.drop_last or not rest else batches + 1
        batch, sample = divmod(drawn, self.batch_size)
        return self.patches_at(self.epoch, self.finished_rounds * batches_per_round + batch + 1, sample)


class SeededDataLoader(DataLoader):
    """MONAI's ``DataLoader``, shuffled, with samples that depend on (seed, epoch, pass, index) alone.

    The same samples come with 0 or any number of workers, persistent or not, and after a resume. The transforms
    of the data set, and the global generators of random, numpy and torch, are seeded anew for each sample; the
    globals are put back afterwards, so drawing data in the main process does not move a network's dropout.

    Args:
        dataset: a data set with MONAI transforms as ``.transform``.
        seed: seed of the run; :class:`monai_patchgrow.handlers.Reproducibility` sets it again on each epoch.
        batch_size: volumes per batch.
        iterations_per_epoch: batches per epoch (default: one pass through the data).
        num_workers: loader processes; persistent ones unless `persistent_workers` says otherwise.
        **options: further options of ``monai.data.DataLoader``.

    Raises:
        ValueError: an empty data set.
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
        num_samples = None if iterations_per_epoch is None else iterations_per_epoch * batch_size
        sampler = SeededSampler(
            dataset,  # type: ignore[arg-type]
            seed=seed,
            num_samples=num_samples,
            batch_size=batch_size,
            drop_last=options.get("drop_last", False),
        )
        options.setdefault("persistent_workers", num_workers > 0)
        # The loader's own generator: without it every new iterator would move torch's global one.
        options.setdefault("generator", torch.Generator().manual_seed(mix_seed(seed)))
        super().__init__(
            _SeededDataset(dataset),
            num_workers=num_workers,
            batch_size=batch_size,
            sampler=sampler,
            **options,
        )

    def __iter__(self) -> Iterator[Any]:
        """The batches of one round; the next round within the epoch draws other passes."""
        return self._count_round(super().__iter__())

    def _count_round(self, batches: Iterator[Any]) -> Iterator[Any]:
        # Counted by what the trainer took, not by what workers drew ahead: rounds that are dropped don't count.
        yield from batches
        self.sampler.finished_rounds += 1

    def set_epoch(self, epoch: int, *, seed: int | None = None) -> None:
        """What the next iterator draws: the given epoch (from 1), under `seed` where given."""
        self.sampler.set_epoch(epoch, seed=seed)


class _SeededDataset(Dataset):
    """Seeds everything random before each sample of the data set inside."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        drawn = drawn_sample.set(position=index.position, patches=index.patches)
        with drawn, _seeded_globals(index.seed):
            transform = getattr(self.dataset, "transform", None)
            if isinstance(transform, Randomizable):
                transform.set_random_state(seed=index.seed)
            else:
                set_rnd(self.dataset, seed=index.seed)
            return self.dataset[int(index)]


@contextmanager
def _seeded_globals(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
