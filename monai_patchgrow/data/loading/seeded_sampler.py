"""Which samples an epoch draws, in which order and with which seeds: from (seed, epoch, pass, index) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import Sampler

from monai_patchgrow.data.loading.rank_share import slice_of_rank
from monai_patchgrow.schedules.sample import SampleDraw, SamplePatches, SamplePlan

__all__ = ["SeededSampler", "mix_seed"]


def mix_seed(*parts: int) -> int:
    """Mix one seed (32 bits) from several small numbers; it is the same on every machine.

    >>> mix_seed(0, 1), mix_seed(1, 0)
    (3964924996, 1835504127)
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class SeededSampler(Sampler[SampleDraw]):
    """Shuffled passes through a data set, each drawn from (seed, epoch, pass).

    An epoch takes one or more rounds over the sampler, and a round one or more passes through the data.

    Args:
        data_source: what is sampled; only its length counts.
        seed: seed of the whole run.
        num_samples: samples per round (default: one pass); more than one pass is drawn where that takes several.
        batch_size, drop_last: those of the batches of all ranks; they only count where there are several, or
            a `plan` is set.
        rank, num_ranks: only the rank's part of each batch is drawn: the same samples come on one rank or many.

    Attributes:
        plan: the patches of each sample, where a growing run has set it. They travel with the sample, so workers that
            draw ahead are never late.

    >>> sampler = SeededSampler(range(3), seed=0, num_samples=5)
    >>> first = list(sampler)
    >>> sorted(draw.index for draw in first[:3]), len(first), first[4].position
    ([0, 1, 2], 5, 4)
    >>> list(sampler) == first
    True
    >>> sampler.finished_rounds = 1  # as the loader does when an epoch wants more batches than it has
    >>> list(sampler) == first
    False
    """

    plan: SamplePlan | None = None

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
        self._done = 0  # batches of the round that the next iterator leaves out

    def set_epoch(self, epoch: int, *, seed: int | None = None, first_batch: int = 1) -> None:
        """Start the given epoch (from 1, as Ignite counts) over, or behind some of its batches.

        Args:
            epoch: from 1.
            seed: another run's; default: the one before.
            first_batch: of the epoch, from 1, that comes next.
        """
        self.epoch = epoch
        self.seed = self.seed if seed is None else seed
        self.finished_rounds, self._done = divmod(first_batch - 1, self._batches_per_round)

    def finish_round(self) -> None:
        """Let the next iterator draw the next round of the epoch."""
        self.finished_rounds += 1
        self._done = 0

    def draws_of(self, batch: int) -> list[SampleDraw]:
        """This rank's samples of a batch (within the epoch, from 1) of the round that is being drawn."""
        first = (batch - 1) % self._batches_per_round * self.batch_size
        return list(self._draws(self.finished_rounds, range(first, min(first + self.batch_size, self.num_samples))))

    def patches_of(self, batch: int) -> tuple[int, int, int]:
        """Of a batch (within the epoch, from 1) the patches of lower ranks, of this rank, and of all ranks.

        Without a `plan` a sample counts as one patch.
        """
        # Batches are counted over all rounds of the epoch; which of them is short depends on the place in its round.
        first = (batch - 1) % self._batches_per_round * self.batch_size
        samples = range(min(self.batch_size, self.num_samples - first))
        counts = [1 if (patches := self._planned(batch, sample)) is None else patches.count for sample in samples]
        own = slice_of_rank(len(counts), rank=self.rank, num_ranks=self.num_ranks)
        return sum(counts[: own.start]), sum(counts[own.start : own.stop]), sum(counts)

    def __len__(self) -> int:
        if self.num_ranks == 1:
            return self.num_samples
        return sum(map(self._is_own, range(self.num_samples)))

    def __iter__(self) -> Iterator[SampleDraw]:
        yield from self._draws(self.finished_rounds, range(self._done * self.batch_size, self.num_samples))

    def _draws(self, finished_rounds: int, samples: range) -> Iterator[SampleDraw]:
        """This rank's of the samples of these numbers within a round."""
        length = len(self.data_source)
        passes = -(-self.num_samples // length)
        for drawn in samples:
            # A round that ends within a pass leaves the rest of it out: the next round starts the next pass.
            number = finished_rounds * passes + drawn // length
            if drawn == samples.start or drawn % length == 0:
                # Not from the global generator: what ran before must not count, nor may drawing move it.
                generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch, number))
                order = torch.randperm(length, generator=generator).tolist()
            # Every rank goes through the samples of all ranks, so that order, seeds and positions are those of one.
            if not self._is_own(drawn):
                continue
            index = order[drawn % length]
            position = finished_rounds * self.num_samples + drawn
            # The pass is part of the seed: within an epoch a case looks different each time.
            seed = mix_seed(self.seed, self.epoch, number, index)
            batch, sample = divmod(drawn, self.batch_size)
            patches = self._planned(finished_rounds * self._batches_per_round + batch + 1, sample)
            yield SampleDraw(index, seed, position, patches)

    def _planned(self, batch: int, sample: int) -> SamplePatches | None:
        return None if self.plan is None else self.plan.patches_at(epoch=self.epoch, batch=batch, sample=sample)

    @property
    def _batches_per_round(self) -> int:
        # What the loader yields, not what is drawn: samples of a last batch that it drops are no batch.
        batches, rest = divmod(self.num_samples, self.batch_size)
        return batches if self.drop_last or not rest else batches + 1

    def _is_own(self, drawn: int) -> bool:
        """Whether this rank draws the sample of this number within the round."""
        if self.num_ranks == 1:
            return True
        batch, sample = divmod(drawn, self.batch_size)
        # The ranks share the last batch by its own size where it is short, or the last ranks would have none of it.
        size = min(self.batch_size, self.num_samples - batch * self.batch_size)
        if self.drop_last and size < self.batch_size:
            # Torch drops a batch by its own batch size, and a rank's part of a short one may be as large as that.
            return False
        return sample in slice_of_rank(size, rank=self.rank, num_ranks=self.num_ranks)
