"""Which cells PatchGD encodes at a time, and in which order: integers, drawn from (seed, epoch, iteration) alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from monai_patchgrow.data.loading.seeded_sampler import mix_seed
from monai_patchgrow.schedules.arguments import parse_int

__all__ = ["Chunk", "Chunks", "Sampling", "parse_chunk_size", "parse_chunks"]

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
        inner_steps: J, chunks that are encoded with gradient. Default: as many as visit every cell once, or
            ``ceil(1 / sampling)`` where `accumulation` is given, so that the optimiser's steps are as many for an image
            of any size.
        accumulation: inner steps per step of the optimiser (default: all of them).

    Raises:
        ValueError: a `sampling` outside of its range, or a number of steps below 1.

    Source: Gupta et al., Patch Gradient Descent (arXiv 2301.13817), algorithm 1: k, zeta or J, and epsilon.

    >>> sampling = Sampling(1 / 4)
    >>> sampling.cells_per_chunk(10), sampling.steps(10)
    (3, 4)
    >>> sampling.draw(range(4), seed=0, epoch=1, iteration=1)
    Chunks(fill=((0,), (3,), (2,), (1,)), inner=((0,), (3,), (1,), (2,)))
    """

    sampling: float = 1 / 8
    inner_steps: Any = None
    accumulation: Any = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if isinstance(self.sampling, bool) or not isinstance(self.sampling, Real) or not 0 < self.sampling <= 1:
            raise ValueError(
                "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, "
                f"got {self.sampling!r}"
            )
        for name in ("inner_steps", "accumulation"):
            if (steps := getattr(self, name)) is not None:
                object.__setattr__(self, name, parse_int(steps, name=name))

    @property
    def _share(self) -> Fraction:
        return Fraction(float(self.sampling)).limit_denominator(_LARGEST_DENOMINATOR) or Fraction(float(self.sampling))

    def cells_per_chunk(self, num_cells: int) -> int:
        """k, for images of `num_cells` cells; chunks may hold one less, since all are about as large."""
        return math.ceil(num_cells * self._share)

    def steps(self, num_cells: int) -> int:
        """J, for images of `num_cells` cells."""
        if self.inner_steps is not None:
            return int(self.inner_steps)
        if self.accumulation is not None:
            return math.ceil(1 / self._share)
        return math.ceil(num_cells / self.cells_per_chunk(num_cells))

    def is_one_group(self, num_cells: int) -> bool:
        """Whether the optimiser steps only once, after all inner steps."""
        return self.accumulation is None or self.accumulation >= self.steps(num_cells)

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
        size, steps = self.cells_per_chunk(len(cells)), self.steps(len(cells))
        fill = _cut(cells, size, mix_seed(seed, epoch, iteration, _FILL))
        inner: list[Chunk] = []
        while len(inner) < steps:
            order = mix_seed(seed, epoch, iteration, _INNER, len(inner))
            inner.extend(
                (fill[i] for (i,) in _cut(range(len(fill)), 1, order)) if from_fill else _cut(cells, size, order)
            )
        return Chunks(fill, tuple(inner[:steps]))


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


def parse_chunk_size(chunk_size: SupportsIndex | None) -> int | None:
    """The most patches to encode at a time; None: as many as a chunk holds.

    Raises:
        ValueError: anything but None or an integer of at least 1.
    """
    return None if chunk_size is None else parse_int(chunk_size, name="chunk_size")


def _cut(cells: Sequence[int], size: int, seed: int) -> tuple[Chunk, ...]:
    """All cells in a random order, in as few chunks of up to `size` as there can be, of about as many cells each."""
    order = np.random.RandomState(seed).permutation(len(cells))
    parts = np.array_split(order, math.ceil(len(cells) / size))
    return tuple(tuple(cells[i] for i in part.tolist()) for part in parts)
