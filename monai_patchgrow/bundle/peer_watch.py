"""Ends a process of a distributed run soon after another one of it has died, whatever this one is doing."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import timedelta

import torch
import torch.distributed as dist

__all__ = ["PeerWatch"]

_logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_MEETINGS = 1.0
_SECONDS_BETWEEN_LOOKS = 0.05
_SECONDS_OF_GRACE = 5.0  # to end by itself, with an error message that says more


class PeerWatch:
    """A thread that meets the other ranks' threads again and again, over gloo connections of their own.

    Without it a rank learns of another one's death where they exchange something, which in a long validation may be
    hours later, and on GPUs not even then but at the process group's timeout. All ranks have to make one.

    Args:
        timeout: how long a rank may keep the others waiting, being alive.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._group = dist.new_group(backend="gloo", timeout=timeout)
        self._wake, self._parked = threading.Event(), threading.Event()
        self._leaving = self._failing = False
        self._thread = threading.Thread(target=self._watch, name="peer watch", daemon=True)
        self._thread.start()

    def leave(self, timeout: float | None = None) -> bool:
        """Wait until all ranks leave, at most for ``timeout`` seconds; return whether they have."""
        self._leaving = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def fail(self) -> None:
        """Make way for the end of this process, which an error stopped; it comes even if the clean-up hangs."""
        self._failing = True
        self._wake.set()
        # An interpreter that ends while a thread is in torch's code aborts.
        self._parked.wait(_SECONDS_OF_GRACE)

    def _watch(self) -> None:
        try:
            while not self._failing and not self._all_leave():
                self._wake.wait(_SECONDS_BETWEEN_MEETINGS)
        except Exception as error:  # of several types: it depends on how the connection breaks
            if not self._failing:
                _logger.error("another process of this run has ended (see its own messages), so this one ends too")
                _logger.debug("the connection's error: %s", error)
            self._failing = True
        if self._failing:
            self._parked.set()
            time.sleep(_SECONDS_OF_GRACE)
            os._exit(1)

    def _all_leave(self) -> bool:
        """Meet the others; whether they and this rank have all done their work."""
        leaving = torch.tensor([int(self._leaving)])
        meeting = dist.all_reduce(leaving, group=self._group, async_op=True)
        while not meeting.is_completed():
            if self._failing:
                return False
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        meeting.wait()
        return int(leaving) == dist.get_world_size()
