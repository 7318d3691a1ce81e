"""Which sample of its epoch a process is drawing, so that transforms can take turns over a whole batch."""

from __future__ import annotations

__all__ = ["SamplePosition", "sample_position"]


class SamplePosition:
    """The number of the sample that this process draws, from 0 at the start of the epoch; None if unknown.

    A loader that knows sets it before each sample. Every process, loader workers included, has its own.
    """

    def __init__(self) -> None:
        self.value: int | None = None


sample_position = SamplePosition()
