"""What a loader tells the transforms about the sample that they are drawing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["drawn_sample"]


class _DrawnSample(threading.local):
    """The sample that this thread of this process draws; every loader worker has its own.

    position: its number within the epoch, from 0; None where no loader tells.
    patch_size: voxels per axis of its patches; None where no loader tells.
    patch_count: how many patches are drawn of its volume; None where no loader tells.
    """

    position: int | None = None
    patch_size: tuple[int, ...] | None = None
    patch_count: int | None = None

    @contextmanager
    def set(
        self, *, position: int, patch_size: Sequence[int] | None = None, patch_count: int | None = None
    ) -> Iterator[None]:
        """Let transforms know the sample until the block ends."""
        before = self.position, self.patch_size, self.patch_count
        self.position, self.patch_count = position, patch_count
        self.patch_size = None if patch_size is None else tuple(patch_size)
        try:
            yield
        finally:
            self.position, self.patch_size, self.patch_count = before


drawn_sample = _DrawnSample()
