"""When a run may write its checkpoint, so that writing takes a small share of its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["WritePace"]

_SHARE = 0.02
_CREDIT_SECONDS = 5.0  # in which short runs, and the first epochs of long ones, write as they like


class WritePace:
    """The clock of a run's writes: together they take up to 2 % of its time, and 5 seconds.

    Writes that are asked for by iterations are made whatever they take; their time counts, so that others get fewer.

    Args:
        minutes: between two writes within an epoch; None: there are none.
        iterations: between two writes, counted from the run's start; None: there are none.

    >>> pace = WritePace(minutes=10, iterations=200)
    >>> pace.is_affordable(), pace.is_due()
    (True, False)
    >>> [iteration for iteration in range(1, 1000) if pace.is_asked_for(iteration)]
    [200, 400, 600, 800]
    """

    def __init__(self, minutes: float | None, iterations: int | None = None) -> None:
        self.minutes = minutes
        self.iterations = iterations
        self._began = self._ended = time.monotonic()
        self._spent = self._last = 0.0

    def is_affordable(self) -> bool:
        """Whether another write as long as the last one is within the share."""
        return self._spent + self._last <= _CREDIT_SECONDS + _SHARE * (time.monotonic() - self._began)

    def is_due(self) -> bool:
        """Whether the last write is so long ago that one should come within the epoch; slow disks get fewer."""
        if self.minutes is None:
            return False
        return time.monotonic() - self._ended >= 60 * self.minutes and self.is_affordable()

    def is_asked_for(self, iteration: int) -> bool:
        """Whether a write comes after this iteration, however slow the disk is."""
        return self.iterations is not None and iteration % self.iterations == 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Count the time of the block as a write's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._ended = time.monotonic()
            self._last = self._ended - began
            self._spent += self._last
