"""What handlers do when a run ends, be it by an error: each has its turn, then the error goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["call_at_end"]


def call_at_end(engine: Engine, close: Callable[[], Any]) -> None:
    """Call `close` when an engine ends, completed or by an error.

    Ignite swallows an error that a handler of its EXCEPTION_RAISED does not raise again; one that does so keeps those
    behind it from theirs. So one function raises for all, behind them.

    >>> engine = Engine(lambda engine, batch: 1 / 0)
    >>> for number in (1, 2):
    ...     call_at_end(engine, lambda number=number: print("closed", number))
    >>> engine.run([0])
    Traceback (most recent call last):
    ZeroDivisionError: division by zero
    """
    engine.add_event_handler(Events.COMPLETED, _call, close)
    engine.add_event_handler(Events.EXCEPTION_RAISED, _call_after, close)
    if engine.has_event_handler(_raise, Events.EXCEPTION_RAISED):
        engine.remove_event_handler(_raise, Events.EXCEPTION_RAISED)
    engine.add_event_handler(Events.EXCEPTION_RAISED, _raise)


def _call(close: Callable[[], Any]) -> None:
    close()


def _call_after(error: BaseException, close: Callable[[], Any]) -> None:
    close()


def _raise(error: BaseException) -> None:
    raise error
