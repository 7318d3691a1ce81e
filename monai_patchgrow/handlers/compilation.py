"""The Ignite handler that compiles a network once per stage and logs how long that took."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_patchgrow.internals.torch import compiler
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["CompilationLog"]

_logger = logging.getLogger(__name__)


class CompilationLog:
    """Lets ``torch.compile(network, dynamic=False)`` compile once per patch size, and logs each one's time.

    torch gives up after 8 shapes of one network and runs on without compiling; a plan may have more stages. What was
    compiled for a stage is dropped when the next one begins, and its memory with it. The trainer needs a
    :class:`monai_patchgrow.PatchGrowth`, and gets the seconds of the last compilation as ``state.compile_seconds``.

    Args:
        num_sizes: patch sizes that the network will meet, ``len(schedule.candidates)``.
    """

    def __init__(self, num_sizes: int) -> None:
        self.num_sizes = num_sizes
        self._seconds = self._start = 0.0
        self._compiler: Any = None
        self._stage: Any = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        self._compiler, config = compiler()
        # Two of each: a batch of another number of patches, or another mode, is one more.
        config.recompile_limit = max(config.recompile_limit, 2 * self.num_sizes)
        engine.state.compile_seconds = 0.0
        engine.add_event_handler(Events.STARTED, self._watch)
        engine.add_event_handler(Events.EPOCH_STARTED, self._enter_stage)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE | Events.INTERRUPT, self._unwatch)

    def __call__(self, engine: Engine) -> None:
        """Log the compilations of the iteration that just ended."""
        if self._seconds:
            size = format_size(engine.state.patch_size)
            _logger.info("epoch %s: compiled for patches of %s in %.1f s", engine.state.epoch, size, self._seconds)
            engine.state.compile_seconds, self._seconds = self._seconds, 0.0

    def _enter_stage(self, engine: Engine) -> None:
        stage = engine.state.stage
        if self._stage not in (None, stage):
            torch.compiler.reset()  # which also forgets who watches
            self._watch()
        self._stage = stage

    def _watch(self) -> None:
        self._unwatch()
        self._compiler.register_start_callback(self._start_clock)
        self._compiler.register_end_callback(self._stop_clock)

    def _unwatch(self) -> None:
        if self._start_clock in self._compiler.start_callbacks:
            self._compiler.remove_start_callback(self._start_clock)
            self._compiler.remove_end_callback(self._stop_clock)

    def _start_clock(self, _: Any) -> None:
        self._start = time.perf_counter()

    def _stop_clock(self, _: Any) -> None:
        self._seconds += time.perf_counter() - self._start
