"""Which cells PatchGD encodes at a time, and in which order: integers, drawn from (seed, epoch, iteration) alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from monai_patchgrow.data.seeded_sampler import mix_seed
from monai_patchgrow.schedules.growth import parse_int

__all__ = ["Chunk", "Chunks", "Sampling", "parse_chunks"]

Chunk: TypeAlias = tuple[int, ...]
"""Row-major cells that are encoded together, of every image of a batch."""

_FILL, _INNER = 0, 1
# What a float like 0.1 stands for: 70 cells at 0.1 are 7 a chunk, while 70 * 0.1 is a little more than 7.
_LARGEST_DENOMINATOR = 1_000_000


@dataclass(frozen=True)
class Chunks:
    """The chunks of one pass: `fill` visits every cell once, `inner` is encoded with gradient."""

    fill: tuple[Chunk, ...]
    inner: tuple[Chunk, ...]


@dataclass(frozen=True)
class Sampling:
    """How many cells a chunk holds, and how many inner steps a pass takes.

    Args:
        sampling: share of the cells in a chunk, above 0 and at most 1.
        inner_steps: J, chunks that are encoded with gradient (default: ``ceil(1 / sampling)``).
        accumulation: inner steps per step of the optimiser (default: all of them).

    Raises:
        ValueError: a `sampling` outside of its range, or a number of steps below 1.

    Source: Gupta et al., Patch Gradient Descent (arXiv 2301.13817), algorithm 1: k, zeta or J, and epsilon.

    >>> sampling = Sampling(1 / 4)
    >>> sampling.inner_steps, sampling.accumulation, sampling.cells_per_chunk(10)
    (4, 4, 3)
    >>> sampling.draw(range(4), seed=0, epoch=1, iteration=1)
    Chunks(fill=((0,), (3,), (2,), (1,)), inner=((0,), (3,), (1,), (2,)))
    """

    sampling: float = 1 / 8
    inner_steps: Any = None
    accumulation: Any = None

    def __post_init__(self) -> None:
        """Check the numbers, and fill in what follows from the others."""
        if isinstance(self.sampling, bool) or not isinstance(self.sampling, int | float) or not 0 < self.sampling <= 1:
            raise ValueError(
                "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, "
                f"got {self.sampling!r}"
            )
        steps = math.ceil(1 / self._share) if self.inner_steps is None else self.inner_steps
        object.__setattr__(self, "inner_steps", parse_int(steps, name="inner_steps"))
        accumulation = self.inner_steps if self.accumulation is None else self.accumulation
        object.__setattr__(self, "accumulation", parse_int(accumulation, name="accumulation"))

    @property
    def _share(self) -> Fraction:
        return Fraction(self.sampling).limit_denominator(_LARGEST_DENOMINATOR) or Fraction(self.sampling)

    @property
    def is_one_group(self) -> bool:
        """Whether the optimiser steps only once, after all inner steps."""
        return self.accumulation >= self.inner_steps

    def cells_per_chunk(self, num_cells: int) -> int:
        """k, for images of `num_cells` cells."""
        return math.ceil(num_cells * self._share)

    def draw(self, cells: Sequence[int], *, seed: int, epoch: int, iteration: int, from_fill: bool = False) -> Chunks:
        """Draw the chunks of one pass; the same arguments give the same chunks.

        Args:
            cells: the cells of the batch's images.
            seed: what the draw depends on, beside `epoch` and `iteration`.
            epoch: of the run.
            iteration: of the run.
            from_fill: let each inner chunk be a chunk of the fill, as the exact variant needs with batch norm. Else
                the inner chunks cut an order of their own. Both visit all cells before one comes again.
        """
        size = self.cells_per_chunk(len(cells))
        fill = _cut(cells, size, mix_seed(seed, epoch, iteration, _FILL))
        inner: list[Chunk] = []
        while len(inner) < self.inner_steps:
            order = mix_seed(seed, epoch, iteration, _INNER, len(inner))
            inner.extend(
                (fill[i] for (i,) in _cut(range(len(fill)), 1, order)) if from_fill else _cut(cells, size, order)
            )
        return Chunks(fill, tuple(inner[: self.inner_steps]))


def parse_chunks(chunks: Iterable[Iterable[SupportsIndex]], *, num_cells: int, name: str) -> tuple[Chunk, ...]:
    """Chunks that a caller gives, as tuples of ints.

    Raises:
        ValueError: no chunks, an empty one, one that repeats a cell, or a cell that isn't there.

    >>> parse_chunks([[0, 2], [1]], num_cells=3, name="fill_chunks")
    ((0, 2), (1,))
    """
    parsed = tuple(
        tuple(parse_int(cell, name=f"a cell in {name}", minimum=0, maximum=num_cells - 1) for cell in chunk)
        for chunk in chunks
    )
    if not parsed:
        raise ValueError(f"{name} must hold at least one chunk of cells, got none")
    for number, chunk in enumerate(parsed):
        if not chunk:
            raise ValueError(f"a chunk must hold at least one cell, got none in chunk {number} of {name}")
        if len(set(chunk)) < len(chunk):
            raise ValueError(f"a chunk must not repeat a cell, got {list(chunk)} as chunk {number} of {name}")
    return parsed


def _cut(cells: Sequence[int], size: int, seed: int) -> tuple[Chunk, ...]:
    """All cells in a random order, in chunks of `size`; the last one may be smaller."""
    order = [cells[i] for i in np.random.RandomState(seed).permutation(len(cells)).tolist()]
    return tuple(tuple(order[first : first + size]) for first in range(0, len(order), size))
