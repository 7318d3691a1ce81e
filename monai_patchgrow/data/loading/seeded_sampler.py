"""Which samples an epoch draws, in which order and with which seeds: from (seed, epoch, pass, index) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized

import numpy as np
import torch
from torch.utils.data import Sampler

from monai_patchgrow.data.loading.rank_share import slice_of_rank
from monai_patchgrow.state.drawn_sample import DrawnPatches

__all__ = ["SeededIndex", "SeededSampler", "mix_seed"]


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
        batch_size, drop_last: those of the batches of all ranks; they only count where there are several, or
            `patches_at` is set.
        rank, num_ranks: only the rank's part of each batch is drawn: the same samples come on one rank or many.

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
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.rank = rank
        self.num_ranks = num_ranks
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

    def patches_of(self, batch: int) -> tuple[int, int, int]:
        """Of a batch (within the epoch, from 1) the patches of lower ranks, of this rank, and of all ranks.

        Where `patches_at` is not set a sample counts as one patch.
        """
        first = (batch - 1) % self._batches_per_round * self.batch_size
        samples = range(min(self.batch_size, self.num_samples - first))
        told = self.patches_at
        counts = [told(self.epoch, batch, sample).count if told else 1 for sample in samples]
        own = slice_of_rank(len(counts), rank=self.rank, num_ranks=self.num_ranks)
        return sum(counts[: own.start]), sum(counts[own.start : own.stop]), sum(counts)

    def __len__(self) -> int:
        if self.num_ranks == 1:
            return self.num_samples
        return sum(map(self._is_own, range(self.num_samples)))

    def __iter__(self) -> Iterator[int]:
        length = len(self.data_source)
        passes = -(-self.num_samples // length)
        for drawn in range(self.num_samples):
            number = self.finished_rounds * passes + drawn // length
            if drawn % length == 0:
                generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch, number))
                order = torch.randperm(length, generator=generator).tolist()
            if not self._is_own(drawn):
                continue
            index = order[drawn % length]
            position = self.finished_rounds * self.num_samples + drawn
            seed = mix_seed(self.seed, self.epoch, number, index)
            yield SeededIndex(index, seed, position, self._patches(drawn))

    def _patches(self, drawn: int) -> DrawnPatches | None:
        """The patches of the sample of this number within the round."""
        if self.patches_at is None:
            return None
        batch, sample = divmod(drawn, self.batch_size)
        return self.patches_at(self.epoch, self.finished_rounds * self._batches_per_round + batch + 1, sample)

    @property
    def _batches_per_round(self) -> int:
        batches, rest = divmod(self.num_samples, self.batch_size)
        return batches if self.drop_last or not rest else batches + 1

    def _is_own(self, drawn: int) -> bool:
        """Whether this rank draws the sample of this number within the round."""
        if self.num_ranks == 1:
            return True
        batch, sample = divmod(drawn, self.batch_size)
        size = min(self.batch_size, self.num_samples - batch * self.batch_size)
        if self.drop_last and size < self.batch_size:
            return False
        return sample in slice_of_rank(size, rank=self.rank, num_ranks=self.num_ranks)
