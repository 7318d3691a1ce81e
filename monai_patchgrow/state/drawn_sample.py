"""What a loader tells the transforms about the sample that they are drawing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["DrawnPatches", "drawn_sample"]


@dataclass(frozen=True)
class DrawnPatches:
    """The patches of one sample.

    size: voxels per axis.
    count: how many are drawn of the sample's volume.
    before: how many were drawn before, of the other samples of the epoch.
    """

    size: tuple[int, ...]
    count: int
    before: int


class _DrawnSample(threading.local):
    """The sample that this thread of this process draws; every loader worker has its own.

    position: its number within the epoch, from 0; None where no loader tells.
    patches: size and number of its patches; None where no loader tells.
    """

    position: int | None = None
    patches: DrawnPatches | None = None

    @contextmanager
    def set(self, *, position: int, patches: DrawnPatches | None = None) -> Iterator[None]:
        """Let transforms know the sample until the block ends."""
        before = self.position, self.patches
        self.position, self.patches = position, patches
        try:
            yield
        finally:
            self.position, self.patches = before


drawn_sample = _DrawnSample()
