"""The Ignite handler that measures where an epoch's time goes and how many voxels it trains on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer

from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.transforms.patches import WITHOUT_FOREGROUND

__all__ = ["EpochThroughput", "Throughput"]


@dataclass
class EpochThroughput:
    """What one epoch of training took; validation is not counted.

    seconds: from the start of the epoch to the end of its last iteration, loader restarts included.
    waiting_seconds: of these, spent waiting for the next batch.
    voxels, patches: trained on, over all iterations.
    foreground_voxels: of these, with a label above 0.
    patches_without_foreground: patches that should have been centred on foreground, of volumes that have none.
    """

    seconds: float = 0.0
    waiting_seconds: float = 0.0
    voxels: int = 0
    patches: int = 0
    foreground_voxels: int = 0
    patches_without_foreground: int = 0

    @property
    def voxels_per_second(self) -> float:
        """Voxels per second of the epoch."""
        return self.voxels / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time that was spent waiting for data."""
        return self.waiting_seconds / self.seconds if self.seconds else 0.0

    @property
    def foreground_share(self) -> float:
        """Share of the voxels with a label above 0."""
        return self.foreground_voxels / self.voxels if self.voxels else 0.0


class Throughput:
    """Measures each epoch (``.epoch``) and the whole run (``.total``, resumed parts included).

    What other handlers do at the start of an epoch counts, and validation doesn't: both come behind this handler, the
    first of a trainer. In a distributed run the numbers are those of all ranks together.

    Args:
        image_key, label_key: keys of the batch: image ``(B, C, *patch)``, or a list of whole images, tensors or tile
            sources; label ``(B, 1, *patch)``, or ``(B,)`` where it is no map and has no foreground.
        ignore_label: value of the label that is no foreground; None: all above 0 are.
    """

    precedes: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("ValidationHandler", Events.EPOCH_COMPLETED, "which stops the epoch's clock"),
    )

    def __init__(self, *, image_key: str = "image", label_key: str = "label", ignore_label: int | None = None) -> None:
        self.image_key = image_key
        self.label_key = label_key
        self.ignore_label = ignore_label
        self.epoch = EpochThroughput()
        self.total = EpochThroughput()
        self._clock, self._waiting = Timer(), Timer()
        self._continued: EpochThroughput | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, which gets the measurements as ``state.throughput``."""
        check_order_on_start(engine)
        engine.state.throughput = self
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._waiting.resume)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._waiting.pause)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._complete_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The totals."""
        return asdict(self.total)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Count on from a checkpoint's totals."""
        self.total = EpochThroughput(**state_dict)

    def within_epoch(self, engine: Engine) -> dict[str, Any]:
        """The epoch's numbers so far, of this rank."""
        return asdict(self._timed())

    def continue_epoch(self, state: Mapping[str, Any]) -> None:
        """Count on from an epoch's numbers, from the next start of an epoch on."""
        self._continued = EpochThroughput(**state)

    def _start_epoch(self) -> None:
        self.epoch, self._continued = self._continued or EpochThroughput(), None
        self._clock.reset()
        self._waiting.reset()
        self._waiting.pause()

    def _count(self, engine: Engine) -> None:
        image, label = engine.state.batch[self.image_key], engine.state.batch[self.label_key]
        self.epoch.patches += len(image)
        self.epoch.voxels += _voxels_of(image)
        if label.ndim > 1:
            foreground = label > 0 if self.ignore_label is None else (label > 0) & (label != self.ignore_label)
            self.epoch.foreground_voxels += int(torch.count_nonzero(foreground))
        if WITHOUT_FOREGROUND in engine.state.batch:
            self.epoch.patches_without_foreground += int(engine.state.batch[WITHOUT_FOREGROUND].sum())

    def _complete_epoch(self, engine: Engine) -> None:
        device = getattr(engine.state, "device", None)
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        self.epoch = self._timed()
        if idist.get_world_size() > 1:
            self._gather()
        for name, value in asdict(self.epoch).items():
            setattr(self.total, name, getattr(self.total, name) + value)

    def _timed(self) -> EpochThroughput:
        """The epoch so far, with the time since it started, or was gone on with."""
        seconds, waiting = self.epoch.seconds + self._clock.value(), self.epoch.waiting_seconds + self._waiting.value()
        return replace(self.epoch, seconds=seconds, waiting_seconds=waiting)

    def _gather(self) -> None:
        """Make the epoch's numbers those of all ranks: counts add up, and the slowest rank's time is everybody's."""
        values = asdict(self.epoch)
        ranks: Any = idist.all_gather(torch.tensor([list(values.values())], dtype=torch.float64))
        for (name, value), gathered in zip(values.items(), ranks.unbind(1), strict=True):
            whole = gathered.max() if name.endswith("seconds") else gathered.sum()
            setattr(self.epoch, name, type(value)(whole))


def _voxels_of(image: Any) -> int:
    """Voxels of a batch: a tensor ``(B, C, *patch)``, or whole images ``(C, *shape)`` with a size each."""
    if isinstance(image, torch.Tensor):
        return len(image) * math.prod(image.shape[2:])
    return sum(math.prod(one.shape[1:]) for one in image)
