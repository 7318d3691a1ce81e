"""Makes an engine's batches anew around a change of what its loader draws, once there are any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine, Events

from monai_patchgrow.internals.torch import end_persistent_workers

__all__ = ["prepare_redraw", "redrawn"]


def prepare_redraw(engine: Engine) -> None:
    """Note from now on whether the engine has an iterator over its loader, as ``engine.state.has_iterator``.

    Each handler that redraws calls it when it is attached; the first call counts for all.
    """
    if not engine.has_event_handler(_forget_iterator, Events.STARTED):
        engine.add_event_handler(Events.STARTED, _forget_iterator)
        engine.add_event_handler(Events.GET_BATCH_STARTED, _note_iterator)


@contextmanager
def redrawn(engine: Engine, *, end_workers: bool = False) -> Iterator[None]:
    """Drop what the engine's loader has drawn ahead, and draw anew when the block ends.

    Before an engine's first batch there is nothing to drop: Ignite makes the first iterator itself, and setting data
    before that would break a resume.

    Args:
        engine: a running engine, whose handler has called :func:`prepare_redraw`.
        end_workers: end persistent workers too, which would otherwise draw on through the change: a batch torn
            between two sizes is thrown away, but not before MONAI's collate has filled the log with it.
    """
    if not getattr(engine.state, "has_iterator", False):
        yield
        return
    loader: Any = engine.state.dataloader
    engine.set_data(())
    if end_workers:
        end_persistent_workers(loader)
    yield
    engine.set_data(loader)


def _forget_iterator(engine: Engine) -> None:
    engine.state.has_iterator = False


def _note_iterator(engine: Engine) -> None:
    engine.state.has_iterator = True
