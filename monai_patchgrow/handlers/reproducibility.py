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

__all__ = ["Reproducibility", "batches_done", "choose_kernels", "seed_of"]

_logger = logging.getLogger(__name__)


class Reproducibility:
    """Seeds random, numpy, torch and the loader from (seed, epoch) at the start of every epoch.

    With a :class:`monai_patchgrow.data.SeededDataLoader` the same seed gives the same weights bit for bit on the
    same machine, with any number of workers, and a run that is resumed ends on the same bits as an unbroken one. After
    an epoch nothing of the generators has to be stored: each epoch starts them anew.

    Args:
        seed: seed of the run.
        deterministic_cudnn: True: cuDNN's deterministic algorithms. False: its fastest, as :func:`choose_kernels` says,
            with which a GPU's convolutions need not give the same bits twice. None: torch's settings stay as they are.

    Raises:
        ValueError: on start, a loader that is not seeded.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("Throughput", Events.EPOCH_STARTED, "which starts the clock that drawing anew counts on"),
    )

    def __init__(self, seed: int, *, deterministic_cudnn: bool | None = True) -> None:
        self.seed = seed
        self.deterministic_cudnn = deterministic_cudnn
        self._continued: dict[str, Any] | None = None  # of the epoch that a resumed run goes on with

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; a handler of yours that draws at the start of an epoch belongs behind it."""
        engine.state.reproducibility = self
        check_order_on_start(engine)
        prepare_redraw(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._restore_generators)

    def __call__(self, engine: Engine) -> None:
        """Seed the epoch ``engine.state.epoch``."""
        loader: Any = engine.state.dataloader
        done = 0 if self._continued is None else self._continued["batches"]
        # What was drawn ahead belongs to the last epoch.
        with redrawn(engine):
            loader.set_epoch(engine.state.epoch, seed=self.seed, first_batch=done + 1)
        # Dropout and the like differ between ranks; rank 0 draws what a single process does.
        rank = idist.get_rank()
        seed = mix_seed(self.seed, engine.state.epoch, *[rank] * (rank > 0))
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        if done == engine.state.epoch_length:  # there is no batch to come
            self._restore_generators()

    def state_dict(self) -> dict[str, Any]:
        """The seed, with which a run is resumed, and the kind of algorithms."""
        return {"seed": self.seed, "deterministic_cudnn": self.deterministic_cudnn}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the checkpoint's seed, but cuDNN's algorithms as they are asked for; say so where either differs."""
        if state_dict["seed"] != self.seed:
            _logger.warning("resumed with the checkpoint's seed %s instead of %s", state_dict["seed"], self.seed)
        self.seed = state_dict["seed"]
        earlier = state_dict.get("deterministic_cudnn", self.deterministic_cudnn)
        if earlier != self.deterministic_cudnn:
            _logger.warning(
                "resumed with deterministic %s, the run before had %s: on a GPU the bits are those of neither",
                self.deterministic_cudnn,
                earlier,
            )

    def within_epoch(self, engine: Engine) -> dict[str, Any]:
        """Batches that the epoch has had, and the generators' states behind them."""
        return {"batches": batches_done(engine), "generators": _generator_states()}

    def continue_epoch(self, state: Mapping[str, Any]) -> None:
        """Take what `within_epoch` gave: the next epoch that starts goes on from there."""
        self._continued = dict(state)

    def _restore_generators(self) -> None:
        # Not at the epoch's start, where handlers behind this one may draw: they did so before the run broke off.
        if self._continued is not None:
            _set_generators(self._continued["generators"])
            self._continued = None

    def _start(self, engine: Engine) -> None:
        if not isinstance(engine.state.dataloader, SeededDataLoader):
            raise ValueError(
                f"Reproducibility needs a monai_patchgrow.data.SeededDataLoader, got a "
                f"{type(engine.state.dataloader).__name__}"
            )
        if self.deterministic_cudnn is not None:
            choose_kernels(deterministic=self.deterministic_cudnn)


def choose_kernels(*, deterministic: bool) -> None:
    """Choose cuDNN's algorithms in this process; nothing changes on a CPU.

    Args:
        deterministic: True: those that give the same bits each time. False: the fastest, tried once per input shape
            (``benchmark``), and convolutions of float32 in TF32, as in nnU-Net v2. Matrix products of float32 stay as
            they are: augmentation computes in them.
    """
    cudnn = torch.backends.cudnn
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    if not deterministic:
        cudnn.allow_tf32 = True


def seed_of(engine: Engine, otherwise: int) -> int:
    """The seed of the engine's Reproducibility, which a resume takes from the checkpoint; without one `otherwise`."""
    reproducibility = getattr(engine.state, "reproducibility", None)
    return otherwise if reproducibility is None else reproducibility.seed


def batches_done(engine: Engine) -> int:
    """How many batches of its epoch an engine has behind it, within the epoch or at its end."""
    return (engine.state.iteration - 1) % (engine.state.epoch_length or engine.state.iteration) + 1


def _generator_states() -> dict[str, Any]:
    """The states of the global generators, as what ``torch.load(..., weights_only=True)`` takes."""
    name, keys, *rest = np.random.get_state()
    states = {"random": random.getstate(), "torch": torch.get_rng_state()}
    return {
        **states,
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_generators(states: Mapping[str, Any]) -> None:
    name, keys, *rest = states["numpy"]
    random.setstate(states["random"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
