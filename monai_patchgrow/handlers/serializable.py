"""Which handlers of an engine have a state to save, by Ignite's convention, and under which names."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric

from monai_patchgrow.internals.ignite import attached_to

__all__ = ["handlers_within_epoch", "loads_without_code", "serializable_handlers"]

_logger = logging.getLogger(__name__)


def serializable_handlers(engine: Engine, *, known: Mapping[str, Any]) -> dict[str, Any]:
    """Everything attached to an engine that has ``state_dict`` and ``load_state_dict``, by name.

    A handler is called as its class, in snake case (``PatchGrowth`` is "patch_growth"); where that name is taken, a
    number stands behind it, from 2. Left out are metrics, which start anew in each epoch and whose state all ranks
    would have to gather, and other engines.

    Args:
        engine: whose handlers are looked at, in the order in which they were attached.
        known: what is saved anyway, by name.

    >>> from ignite.engine import Events
    >>> class StepCounter:
    ...     def __call__(self, engine): ...
    ...     def state_dict(self): ...
    ...     def load_state_dict(self, state_dict): ...
    >>> engine = Engine(lambda engine, batch: None)
    >>> for handler in (StepCounter(), StepCounter()):
    ...     _ = engine.add_event_handler(Events.ITERATION_COMPLETED, handler)
    >>> list(serializable_handlers(engine, known={}))
    ['step_counter', 'step_counter_2']
    """
    found: dict[str, Any] = {}
    for handler in attached_to(engine):
        is_known = any(handler is one for one in known.values())
        if _has_state(handler) and not is_known:
            found[_free_name(handler, {*known, *found})] = handler
    return found


def handlers_within_epoch(engine: Engine) -> dict[str, Any]:
    """The handlers of an engine that gather something within an epoch, by name, as `serializable_handlers` has them.

    They have ``within_epoch(engine)``, which returns what one process has gathered so far (it may raise what would end
    the epoch), and ``continue_epoch(state)``, which takes it back on start, before the epoch's start is told again.
    """
    found: dict[str, Any] = {}
    for handler in attached_to(engine):
        if _is_callable(handler, "within_epoch", "continue_epoch"):
            found[_free_name(handler, found)] = handler
    return found


def loads_without_code(name: str, state: Any) -> bool:
    """Whether a state can be loaded with ``weights_only``; says so in the log where it can't.

    One state that can't be loaded would cost the whole checkpoint.

    >>> loads_without_code("early_stopping", {"counter": 2, "best_score": 0.5})
    True
    """
    file = io.BytesIO()
    try:
        torch.save(state, file)
        torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    except Exception as error:  # of many types: whatever pickling a foreign object raises
        reason = str(error).partition("\n")[0]
        _logger.warning("the state of %s is left out of the checkpoint, which it would spoil: %s", name, reason)
        return False
    return True


def _has_state(handler: Any) -> bool:
    return _is_callable(handler, "state_dict", "load_state_dict")


def _is_callable(handler: Any, *methods: str) -> bool:
    has_all = all(callable(getattr(handler, method, None)) for method in methods)
    return has_all and not isinstance(handler, (Engine, Metric, type))


def _free_name(handler: Any, taken: Iterable[str]) -> str:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(handler).__name__).lower()
    numbered = name
    number = 1
    while numbered in taken:
        number += 1
        numbered = f"{name}_{number}"
    return numbered
