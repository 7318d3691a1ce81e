"""What is private in Ignite and used here, under public names; checked against Ignite 0.5.5."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Engine

__all__ = ["attached_to", "wrap_process"]


def attached_to(engine: Engine, event: Any = None) -> Sequence[Any]:
    """The handlers of an engine, each once: objects with methods that handle events, and plain functions.

    Args:
        engine: any.
        event: only what handles this event, in the order in which it is called; default: what handles any.

    >>> from ignite.engine import Events
    >>> class Handler:
    ...     def start(self): ...
    >>> engine, handler = Engine(lambda engine, batch: None), Handler()
    >>> _ = engine.add_event_handler(Events.EPOCH_STARTED(every=2), handler.start)
    >>> attached_to(engine, Events.EPOCH_STARTED) == [handler], attached_to(engine, Events.STARTED)
    (True, [])
    """
    # A list of (callable, its arguments) for each event. No public call tells which handlers there are.
    table = engine._event_handlers
    entries = table.get(event, []) if event is not None else [entry for some in table.values() for entry in some]
    owners: dict[int, Any] = {}
    for handler, *_ in entries:
        plain: Any = inspect.unwrap(handler)  # of an event with a filter Ignite keeps a wrapper
        owner = getattr(plain, "__self__", plain)
        owners.setdefault(id(owner), owner)
    return list(owners.values())


def wrap_process(engine: Engine, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace what an engine does with each batch by what `wrap` makes of it.

    >>> engine = Engine(lambda engine, batch: batch + 1)
    >>> wrap_process(engine, lambda process: lambda engine, batch: 2 * process(engine, batch))
    >>> engine.run([1]).output
    4
    """
    engine._process_function = wrap(engine._process_function)
