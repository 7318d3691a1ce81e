"""The events of PatchGD's inner loop, and what its handlers read then."""

from __future__ import annotations

from dataclasses import dataclass

from ignite.engine.events import EventEnum
from torch import Tensor

from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["EVENT_COUNTERS", "PatchGDEvents", "PatchGDState"]


class PatchGDEvents(EventEnum):
    """Fired within each iteration of a PatchGD engine.

    FILL_COMPLETED: Z holds every cell of the batch's images (``engine.state.latent``), encoded without gradient; an
        evaluator fires it too.
    INNER_STEP_STARTED, INNER_STEP_COMPLETED: around each chunk that is encoded with gradient
        (``engine.state.inner_step``, from 1 in each iteration, which filters as in ``INNER_STEP_COMPLETED(every=4)``
        count) and, when completed, its loss (``engine.state.inner_loss``, a detached scalar) and, where the optimiser's
        turn has come, its step.
    """

    FILL_COMPLETED = "fill_completed"
    INNER_STEP_STARTED = "inner_step_started"
    INNER_STEP_COMPLETED = "inner_step_completed"


EVENT_COUNTERS = {
    PatchGDEvents.FILL_COMPLETED: "iteration",
    PatchGDEvents.INNER_STEP_STARTED: "inner_step",
    PatchGDEvents.INNER_STEP_COMPLETED: "inner_step",
}


@dataclass
class PatchGDState:
    """Where a pass stands.

    latent: Z of the batch; None before its first chunk.
    inner_step: number of the inner step, from 1; 0 before the first.
    num_steps: inner steps of the pass.
    pred: the head's last output ``(B, K)``, detached; None before the first.
    loss: the last loss, a detached scalar that is not scaled; None before the first.
    is_exact: whether the head runs once for all inner steps.
    why_stepwise: what rules that out, in a few words; None where nothing does.
    """

    latent: LatentGrid | None = None
    inner_step: int = 0
    num_steps: int = 0
    pred: Tensor | None = None
    loss: Tensor | None = None
    is_exact: bool = False
    why_stepwise: str | None = None
