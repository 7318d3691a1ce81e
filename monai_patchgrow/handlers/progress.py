"""The progress bar of a run: epoch, stage, patch size, loss and key metric in one line."""

from __future__ import annotations

import sys
import time
from typing import Any, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_patchgrow.handlers.closing import call_at_end
from monai_patchgrow.handlers.engine_output import loss_of
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["GrowthProgress"]

_SECONDS_BETWEEN_LINES = 10.0  # in a log file, where every update is a line of its own
_SECONDS_BETWEEN_UPDATES = 0.2


class GrowthProgress:
    """One bar on stderr over all iterations of the run, on rank 0, with that rank's share of the loss.

    The trainer needs a :class:`monai_patchgrow.PatchGrowth`. (Ignite's own ``ProgressBar`` counts one epoch at a time.)

    Args:
        evaluator: a MONAI evaluator whose key metric is shown.
        description: what stands in front of the bar.
        metric_name: what the key metric is called.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("ResumableRun", Events.STARTED, "which tells where a resumed run starts"),
    )

    def __init__(self, *, evaluator: Any = None, description: str = "", metric_name: str = "Dice") -> None:
        self.evaluator = evaluator
        self.description = description
        self.metric_name = metric_name
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        check_order_on_start(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        call_at_end(engine, self._close)

    def __call__(self, engine: Engine) -> None:
        """Advance by one iteration."""
        if self._bar is None:
            return
        if time.time() - self._bar.last_print_t >= self._bar.mininterval:  # reading the loss waits for a GPU
            self._bar.set_postfix_str(self._describe(engine), refresh=False)
        self._bar.update()

    def _start(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        self._bar = tqdm(
            total=engine.state.max_epochs * engine.state.epoch_length,
            initial=engine.state.iteration,
            desc=self.description,
            unit="it",
            mininterval=_SECONDS_BETWEEN_UPDATES if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES,
            dynamic_ncols=True,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _describe(self, engine: Engine) -> str:
        state = engine.state
        parts = [
            f"epoch {state.epoch}/{state.max_epochs}",
            f"stage {state.stage_number}/{state.num_stages}",
            f"patch {format_size(state.patch_size)}",
            f"loss {float(loss_of(engine)):.3f}",
        ]
        if self.evaluator is not None and self.evaluator.state.metrics:
            metric = self.evaluator.state.metrics[self.evaluator.state.key_metric_name]
            parts.append(f"{self.metric_name} {float(metric):.3f}")
        return ", ".join(parts)
