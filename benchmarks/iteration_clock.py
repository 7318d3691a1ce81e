"""Times the parts of a MONAI trainer's iterations: on a CPU by its clock, on a GPU by CUDA events."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

PARTS = ("waiting", "augmenting", "forward", "loss", "backward", "optimiser", "rest")
WORK = ("forward", "backward", "optimiser")
_MARKS = {
    Events.GET_BATCH_COMPLETED: "waiting",
    Events.ITERATION_STARTED: "augmenting",
    IterationEvents.FORWARD_COMPLETED: "forward",
    IterationEvents.LOSS_COMPLETED: "loss",
    IterationEvents.BACKWARD_COMPLETED: "backward",
    IterationEvents.MODEL_COMPLETED: "optimiser",
}


class _Mark(NamedTuple):
    part: str  # what ends here
    host: float
    event: torch.cuda.Event | None

    @classmethod
    def now(cls, part: str, device: torch.device, clock: Callable[[], float]) -> _Mark:
        """A mark on the host's clock and, on a GPU, in its stream; nothing is waited for."""
        event = None
        if device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        return cls(part, clock(), event)

    def seconds_since(self, other: _Mark) -> float:
        """By the device's clock."""
        if self.event is None or other.event is None:
            return self.host - other.host
        return other.event.elapsed_time(self.event) / 1000


class IterationClock:
    """Times the parts of every iteration of a MONAI trainer, and the start of every epoch; seconds.

    ``epochs`` has for each epoch its patch size, ``iterations`` (the parts of each, by the device's clock),
    ``host_seconds`` (of each, by the host's, waiting left out) and ``between_epochs``. An epoch is ended when it has
    had its iterations and seconds.

    Args:
        warm_up, iterations: an epoch has at least as many, together.
        seconds: and lasts at least so long.
        clock: of the host: that of the wall, or of the processor.
    """

    def __init__(
        self, *, warm_up: int, iterations: int, seconds: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.clock = clock
        self.warm_up, self.iterations, self.seconds = warm_up, iterations, seconds
        self.epochs: list[dict[str, Any]] = []
        self._marks: list[list[_Mark]] = []  # of each iteration of the epoch
        self._epoch_end = 0.0

    def attach(self, trainer: Engine) -> None:
        """Register behind all other handlers: what they do is timed."""
        self.trainer = trainer
        trainer.network.register_forward_pre_hook(lambda *_: self._mark("rest"))
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._start_iteration)
        for event, part in _MARKS.items():
            trainer.add_event_handler(event, self._mark, part)
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_iteration)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)

    def _mark(self, *args: Any) -> None:
        if self.trainer.network.training and self._marks:
            self._marks[-1].append(_Mark.now(args[-1], self.trainer.state.device, self.clock))

    def _start_epoch(self) -> None:
        self.epochs.append({"patch_size": list(self.trainer.state.patch_size)})
        self._marks = []
        self._epoch_start = self.clock()

    def _start_iteration(self) -> None:
        self._mark("rest")
        if self._marks and not any(mark.part == "backward" for mark in self._marks[-1]):
            self._marks.pop()  # Ignite has asked for a batch twice, as where a loader begins anew
        self._marks.append([_Mark.now("", self.trainer.state.device, self.clock)])

    def _stop_iteration(self) -> None:
        now = self.clock()
        if len(self._marks) == 1:
            # From the end of the last epoch's last iteration, handlers and all, to the first batch of this one.
            first = next(mark.host for mark in self._marks[0] if mark.part == "waiting")
            self.epochs[-1]["between_epochs"] = first - (self._epoch_end or self._epoch_start)
        if len(self._marks) > self.warm_up + self.iterations and now - self._epoch_start > self.seconds:
            self._epoch_end = now
            self.trainer.terminate_epoch()

    def _finish_epoch(self) -> None:
        if self.trainer.state.device.type == "cuda":
            torch.cuda.synchronize()
        whole = self._marks[:-1]  # the last one has no next one to end it
        self.epochs[-1]["iterations"] = [_parts(marks) for marks in whole]
        self.epochs[-1]["host_seconds"] = [_host_seconds(marks) for marks in whole]


def _parts(marks: list[_Mark]) -> dict[str, float]:
    parts: dict[str, float] = {}
    for before, mark in pairwise(marks):
        parts[mark.part] = parts.get(mark.part, 0.0) + mark.seconds_since(before)
    return parts


def _host_seconds(marks: list[_Mark]) -> float:
    waited = next((mark.host - marks[0].host for mark in marks if mark.part == "waiting"), 0.0)
    return marks[-1].host - marks[0].host - waited
