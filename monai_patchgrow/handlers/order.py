"""Which handlers must be called before which others, as data, and the check of it when an engine starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ignite.engine import Engine, Events

from monai_patchgrow.internals.ignite import attached_to

__all__ = ["OrderRule", "broken_rules", "check_order_on_start"]


@dataclass(frozen=True)
class OrderRule:
    """One handler that must be called before, or behind, the one that names it.

    A handler class holds its rules as ``follows`` (those that must come before it) and ``precedes`` (those that must
    come behind it). Where the other handler is not attached, or doesn't handle the event, there is nothing to order.

    Args:
        other: name of the other handler's class, or of one that it derives from.
        event: on which the order counts.
        reason: why, to stand behind the name of the handler that must come first.

    >>> OrderRule("Throughput", Events.EPOCH_STARTED, "which starts its clock").other
    'Throughput'
    """

    other: str
    event: Any
    reason: str


def check_order_on_start(engine: Engine) -> None:
    """Check the rules of all handlers of an engine each time that it starts, whoever of them asks for it.

    A handler with rules calls this when it is attached. A broken rule is then a ValueError of one line.
    """
    if not engine.has_event_handler(_check_order, Events.STARTED):
        engine.add_event_handler(Events.STARTED, _check_order)


def broken_rules(engine: Engine) -> list[str]:
    """One line for each rule that the order of an engine's handlers breaks.

    >>> class Second:
    ...     follows = (OrderRule("First", Events.STARTED, "which opens the door"),)
    ...
    ...     def __call__(self, engine): ...
    >>> class First:
    ...     def __call__(self, engine): ...
    >>> engine = Engine(lambda engine, batch: None)
    >>> for handler in (Second(), First()):
    ...     _ = engine.add_event_handler(Events.STARTED, handler)
    >>> broken_rules(engine)
    ['Second is attached before First, which opens the door: attach First before Second']
    """
    lines = []
    for handler in attached_to(engine):
        kind = type(handler)  # not the object: a metric of Ignite has every attribute that one asks it for
        for rule in getattr(kind, "follows", ()):
            lines += [_line(other, handler, rule) for other in _others(handler, engine, rule, behind=True)]
        for rule in getattr(kind, "precedes", ()):
            lines += [_line(handler, other, rule) for other in _others(handler, engine, rule, behind=False)]
    return lines


def _others(handler: Any, engine: Engine, rule: OrderRule, *, behind: bool) -> list[Any]:
    """The handlers that a rule names which are called behind `handler`, or before it."""
    order = attached_to(engine, rule.event)
    place = next((place for place, one in enumerate(order) if one is handler), None)
    if place is None:
        return []
    others = order[place + 1 :] if behind else order[:place]
    return [one for one in others if rule.other in (base.__name__ for base in type(one).__mro__)]


def _line(first: Any, second: Any, rule: OrderRule) -> str:
    names = type(first).__name__, type(second).__name__
    return "{1} is attached before {0}, {reason}: attach {0} before {1}".format(*names, reason=rule.reason)


def _check_order(engine: Engine) -> None:
    lines = dict.fromkeys(broken_rules(engine))
    if lines:
        raise ValueError("; ".join(lines))
