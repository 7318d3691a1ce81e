"""The Ignite handler that writes the weights of the best validation, and the best as something to save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from monai_patchgrow.handlers.finite_output import count_odd_weights
from monai_patchgrow.handlers.shared_weights import keep_in_step, save_weights

__all__ = ["BestMetric", "BestWeights", "refuse_odd_weights"]


class BestWeights:
    """Writes a network's bare ``state_dict``, from rank 0, whenever a MONAI evaluator's key metric is the best so far.

    It writes ``model.pt``, and the same weights as ``model.safetensors`` beside it, to be handed on: the two never hold
    different weights.

    Which is the best a resumed run takes from the evaluator; MONAI's CheckpointSaver and Ignite's Checkpoint keep a
    best of their own, which would start anew and let the first validation replace better weights.

    Args:
        path: ``.../models/model.pt``.
        network: what inference needs, without training's extra heads.
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = Path(path)
        self.network = network
        self._is_in_step = False

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if this validation was the best."""
        if idist.get_rank() > 0:
            return
        if engine.state.best_metric_epoch == engine.state.epoch:
            refuse_odd_weights(self.network.state_dict(), what="the network", path=self.path)
            save_weights(self.network.state_dict(), self.path)
        elif not self._is_in_step:
            keep_in_step(self.path)  # of the run that this one goes on with
        self._is_in_step = True


def refuse_odd_weights(weights: Mapping[str, Any], *, what: str, path: Path | None) -> None:
    """Raise where weights aren't finite: nothing such is saved, called best, or resumed from."""
    if count := count_odd_weights(weights):
        kept = "" if path is None else f"; {path} is not written"
        remedy = "take a lower learning_rate, or amp=False where it is on, and start anew"
        raise ValueError(f"{count} weights of {what} are NaN or infinite{kept}: {remedy}")


class BestMetric:
    """The best metric of a MONAI evaluator as something to save."""

    def __init__(self, evaluator: Any) -> None:
        self.state = evaluator.state

    def state_dict(self) -> dict[str, Any]:
        """The metric, and the epoch that had it."""
        return {"metric": float(self.state.best_metric), "epoch": int(self.state.best_metric_epoch)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Give the evaluator a best metric and its epoch."""
        self.state.best_metric = state_dict["metric"]
        self.state.best_metric_epoch = state_dict["epoch"]
