"""The Ignite handler that takes batches apart which a GPU's memory doesn't hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch.optim import Optimizer

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.internals.ignite import wrap_process
from monai_patchgrow.losses.patch_mean import is_mean_over_patches
from monai_patchgrow.networks.out_of_memory import is_out_of_memory
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["MEMORY_REMEDY", "MemoryShort", "MicroBatches", "backward_in_parts"]

_logger = logging.getLogger(__name__)

MEMORY_REMEDY = "take a smaller patch_size, batch_size or features, or amp=True where it is off"
"""What a user can do whose GPU is full."""


class MemoryShort(DataError):
    """A GPU's memory that doesn't hold what can't be taken apart further; the message tells what would help."""


class MicroBatches:
    """Halves, where a GPU runs out of memory, what goes through the network at a time, and adds up the gradients.

    The iteration is done again from its start, with the same random numbers; batches of patches of that size come in as
    many parts from then on, also in a run that is resumed. The gradient is that of the whole batch up to rounding, for
    losses that are means over patches and networks without batch norm. Where that is not so, where a single patch
    doesn't fit, in a distributed run, or where the memory ends within the optimiser's step, the run ends.

    Args:
        optimizer: of the trainer.

    Raises:
        MemoryShort: in an iteration, as above.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._parts: dict[str, int] = {}
        self._in_step = False

    def attach(self, engine: Any) -> None:
        """Register on a MONAI SupervisedTrainer, whose iteration it then calls."""
        engine.state.micro_batches = self
        engine.add_event_handler(Events.ITERATION_STARTED, self)
        self.optimizer.register_step_pre_hook(self._note_step)
        wrap_process(engine, self._wrap)

    def __call__(self) -> None:
        """Note that an iteration begins."""
        self._in_step = False

    def state_dict(self) -> dict[str, Any]:
        """Parts of a batch by patch size."""
        return {"parts": dict(self._parts)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a checkpoint's parts."""
        self._parts = dict(state_dict["parts"])

    def fit(self, engine: Any, size: Sequence[int], total: int, attempt: Callable[[int], Any]) -> Any:
        """Return what `attempt` returns for the number of parts with which it doesn't run out of memory.

        Args:
            engine: the trainer.
            size: of the patches, voxels per axis.
            total: patches of the batch.
            attempt: takes the number of parts; is called again, with the random numbers of before, for twice as many.

        Raises:
            MemoryShort: it runs out of memory however small the parts.
        """
        name, device = format_size(size), engine.state.device
        generator, gpu_generator = torch.get_rng_state(), _gpu_generator(device)
        while True:
            parts = min(self._parts.get(name, 1), total)
            try:
                return attempt(parts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())
            # Behind the error, whose frames hold the iteration's tensors.
            engine.state.output = None
            self.optimizer.zero_grad(set_to_none=True)
            self._check_divisible(engine, f"{total} patches of {name}", parts=parts, total=total, reason=reason)
            self._parts[name] = min(2 * parts, total)
            _logger.warning("out of memory: batches of patches of %s come in %d parts now", name, self._parts[name])
            torch.set_rng_state(generator)
            if gpu_generator is not None:
                torch.cuda.empty_cache()
                torch.cuda.set_rng_state(gpu_generator, device)

    def _wrap(self, process: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def iterate(engine: Any, batch: Any) -> Any:
            image = batch[Keys.IMAGE]

            def attempt(parts: int) -> Any:
                return process(engine, batch) if parts == 1 else _iterate_in_parts(engine, batch, parts)

            return self.fit(engine, image.shape[2:], len(image), attempt)

        return iterate

    def _note_step(self, *_: Any) -> None:
        self._in_step = True

    def _check_divisible(self, engine: Any, batch: str, *, parts: int, total: int, reason: str) -> None:
        why = None
        if self._in_step:
            why = "in the optimiser's step, which can't be done again"
        elif parts >= total:
            why = "for a single patch"
        elif idist.get_world_size() > 1:
            why = "on one of several processes: more of them, or a smaller batch_size, need less each"
        elif not is_mean_over_patches(engine.loss_function):
            why = "under a loss over the whole batch, which can't be taken apart"
            why += " (a label to ignore makes it one too): batch_dice=False can"
        if why:
            raise MemoryShort(f"out of memory {why} ({batch}): {MEMORY_REMEDY} ({reason})")


def _gpu_generator(device: torch.device) -> torch.Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _iterate_in_parts(engine: Any, batch: Any, parts: int) -> dict[str, Any]:
    """An iteration of MONAI's SupervisedTrainer, the batch in parts."""
    image, label = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)[:2]
    engine.network.train()
    engine.optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
    loss = backward_in_parts(engine, image, label, parts)
    engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
    if engine.amp and engine.scaler is not None:
        engine.scaler.step(engine.optimizer)
        engine.scaler.update()
    else:
        engine.optimizer.step()
    engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.LOSS: loss}
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output


def backward_in_parts(engine: Any, image: torch.Tensor, label: torch.Tensor, parts: int) -> torch.Tensor:
    """Add up the gradients of a batch, part by part; return its loss.

    Args:
        engine: MONAI's SupervisedTrainer.
        image: (B, C, *patch), on the engine's device.
        label: (B, 1, *patch).
        parts: in how many the batch goes through the network.
    """
    whole = torch.zeros((), device=image.device)
    for some, truth in zip(image.tensor_split(parts), label.tensor_split(parts), strict=True):
        with torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext():
            loss = engine.loss_function(engine.inferer(some, engine.network), truth).mean() * (len(some) / len(image))
        (loss if engine.scaler is None else engine.scaler.scale(loss)).backward()
        whole = whole + loss.detach()
    return whole
