"""A MONAI trainer's output: the loss, whether its batches are decollated (its default) or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import Tensor

__all__ = ["LossOutput", "loss_of"]


class LossOutput:
    """Leaves the loss, in the form that MONAI's handlers read, as the output of a trainer with ``decollate=False``.

    Decollating takes time for each patch, and waits for a GPU in each iteration. Without it, ``StatsHandler``,
    ``TensorBoardStatsHandler`` and ``MLFlowHandler`` find no loss: they take that of the first item of a list. Set
    ``decollate=True`` for handlers and metrics that read the prediction of each patch; this handler then does nothing.

    >>> from ignite.engine import Events
    >>> from monai.handlers import from_engine
    >>> engine = Engine(lambda engine, batch: engine.fire_event(IterationEvents.MODEL_COMPLETED) or engine.state.output)
    >>> engine.register_events(*IterationEvents)
    >>> def complete(engine):
    ...     engine.state.output = {"pred": torch.zeros(9, 3), "loss": torch.tensor(0.5)}
    >>> _ = engine.add_event_handler(Events.ITERATION_STARTED, complete)
    >>> LossOutput().attach(engine)
    >>> from_engine(["loss"], first=True)(engine.run([0]).output)
    tensor(0.5000)
    """

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer, anywhere among its handlers: they all come later in the iteration."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Replace the output of the iteration, and with it what holds the images and logits in memory."""
        output: Any = engine.state.output
        if isinstance(output, Mapping):
            engine.state.output = [{"loss": output["loss"].detach()}]


def loss_of(engine: Engine) -> Tensor:
    """The scalar loss of the iteration that just ended."""
    output: Any = engine.state.output
    loss = (output[0] if isinstance(output, list) else output)["loss"]
    return torch.as_tensor(loss).detach()  # a number where MONAI has decollated
