"""The Ignite handler that says, at the end of a stage, how many loader workers it would have taken."""

from __future__ import annotations

import logging
import math
from typing import Any, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_patchgrow.data.loading.usable_cpus import usable_cpus
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start

__all__ = ["LoaderAdvice", "workers_needed"]

_logger = logging.getLogger(__name__)

_WAITING_SHARE = 0.2
"""Of a stage's time: waiting below it is not spoken of."""


def workers_needed(*, workers: int, seconds: float, waiting_seconds: float) -> int:
    """Return the fewest loader workers that draw as fast as a training steps.

    Where it waits, all workers draw all the time: what they do in its seconds must be done in those of its steps.

    Args:
        workers: of the loader; 0: the training's own process draws, and waits while it does.
        seconds: that were measured.
        waiting_seconds: of these, waiting for data; fewer than all.

    >>> workers_needed(workers=4, seconds=10.0, waiting_seconds=5.0)
    8
    """
    drawing = workers * seconds if workers else waiting_seconds
    return math.ceil(round(drawing / (seconds - waiting_seconds), 6))


class LoaderAdvice:
    """Logs, where a stage waited for data for 20 % of its time or more, how many workers would do.

    The trainer needs a Throughput and a PatchGrowth. Nothing is said of a run on a CPU, whose network needs the CPUs
    itself. In a distributed run the first process says it, of the slowest one's times.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("Throughput", Events.EPOCH_COMPLETED, "which measures the epoch"),
    )

    def __init__(self) -> None:
        self._stage = 0
        self._seconds = self._waiting = 0.0

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        check_order_on_start(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Add the epoch that just ended, and speak where it is its stage's last."""
        state = engine.state
        if state.stage_number != self._stage:
            self._stage, self._seconds, self._waiting = state.stage_number, 0.0, 0.0
        self._seconds += state.throughput.epoch.seconds
        self._waiting += state.throughput.epoch.waiting_seconds
        is_last = state.epoch == state.stage.first_epoch + state.stage.num_epochs - 1
        if is_last and state.device.type == "cuda" and idist.get_rank() == 0:
            self._speak(state.dataloader.num_workers)

    def _speak(self, workers: int) -> None:
        if not _WAITING_SHARE * self._seconds <= self._waiting < self._seconds:
            return
        needed = workers_needed(workers=workers, seconds=self._seconds, waiting_seconds=self._waiting)
        cpus = usable_cpus(processes=idist.get_nproc_per_node())
        few = "" if needed <= cpus else f", more than the {cpus} CPUs that the process has"
        share = 100 * self._waiting / self._seconds
        _logger.info("stage %d waited %.0f %% for data: num_workers=%d would do%s", self._stage, share, needed, few)
