"""The Ignite handler that makes a run depend on its seed alone, so that it can be resumed bit for bit."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_patchgrow.data.loading.seeded import SeededDataLoader, mix_seed
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.handlers.redraw import prepare_redraw, redrawn

__all__ = ["Reproducibility", "seed_of"]

_logger = logging.getLogger(__name__)


class Reproducibility:
    """Seeds random, numpy, torch and the loader from (seed, epoch) at the start of every epoch.

    With a :class:`monai_patchgrow.data.SeededDataLoader` the same seed gives the same weights bit for bit on the
    same machine, with any number of workers, and a run that is resumed after an epoch ends on the same bits as
    an unbroken one. Nothing of the generators has to be stored: each epoch starts them anew.

    Args:
        seed: seed of the run.
        deterministic_cudnn: choose cuDNN's deterministic algorithms (slower; without it, a GPU's convolutions
            need not give the same bits twice).

    Raises:
        ValueError: on start, a loader that is not seeded.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("Throughput", Events.EPOCH_STARTED, "which starts the clock that drawing anew counts on"),
    )

    def __init__(self, seed: int, *, deterministic_cudnn: bool = True) -> None:
        self.seed = seed
        self.deterministic_cudnn = deterministic_cudnn

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; a handler of yours that draws at the start of an epoch belongs behind it."""
        engine.state.reproducibility = self
        check_order_on_start(engine)
        prepare_redraw(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the epoch ``engine.state.epoch``."""
        loader: Any = engine.state.dataloader
        # What was drawn ahead belongs to the last epoch.
        with redrawn(engine):
            loader.set_epoch(engine.state.epoch, seed=self.seed)
        # Dropout and the like differ between ranks; rank 0 draws what a single process does.
        rank = idist.get_rank()
        seed = mix_seed(self.seed, engine.state.epoch, *[rank] * (rank > 0))
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """The seed, with which a run is resumed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the checkpoint's seed, and say so where another one was asked for."""
        if state_dict["seed"] != self.seed:
            _logger.warning("resumed with the checkpoint's seed %s instead of %s", state_dict["seed"], self.seed)
        self.seed = state_dict["seed"]

    def _start(self, engine: Engine) -> None:
        if not isinstance(engine.state.dataloader, SeededDataLoader):
            raise ValueError(
                f"Reproducibility needs a monai_patchgrow.data.SeededDataLoader, got a "
                f"{type(engine.state.dataloader).__name__}"
            )
        if self.deterministic_cudnn:
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False


def seed_of(engine: Engine, otherwise: int) -> int:
    """The seed of the engine's Reproducibility, which a resume takes from the checkpoint; without one `otherwise`."""
    reproducibility = getattr(engine.state, "reproducibility", None)
    return otherwise if reproducibility is None else reproducibility.seed
