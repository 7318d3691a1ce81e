"""Makes an engine's batches anew around a change of what its loader draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine

__all__ = ["redrawn"]


@contextmanager
def redrawn(engine: Engine, *, end_workers: bool = False) -> Iterator[None]:
    """Drop what the engine's loader has drawn ahead, and draw anew when the block ends.

    Not before an engine's first batch: Ignite makes the first iterator itself, and setting data before that would
    break a resume.

    Args:
        engine: a running engine.
        end_workers: end persistent workers too, which would otherwise draw on through the change: a batch torn
            between two sizes is thrown away, but not before MONAI's collate has filled the log with it.
    """
    loader: Any = engine.state.dataloader
    engine.set_data(())
    if end_workers and getattr(loader, "persistent_workers", None):
        loader._iterator = None
    yield
    engine.set_data(loader)
