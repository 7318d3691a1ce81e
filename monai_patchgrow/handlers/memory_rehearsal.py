"""Tries the largest batches of a plan on the GPU before the first epoch, which may be hours before they come."""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from monai_patchgrow.handlers.micro_batches import MemoryShort, backward_in_parts
from monai_patchgrow.networks.check import left_as_it_was
from monai_patchgrow.networks.out_of_memory import is_out_of_memory
from monai_patchgrow.schedules import GrowthSchedule, Stage
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["heaviest_stages", "rehearse"]

_logger = logging.getLogger(__name__)


def heaviest_stages(schedule: GrowthSchedule) -> list[Stage]:
    """Return the stage with the most voxels in a batch, and that with the most patches, where it is another.

    >>> schedule = GrowthSchedule.plan(patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=9)
    >>> [stage.patch_size for stage in heaviest_stages(schedule)]
    [(16, 16)]
    """
    by_voxels = max(
        schedule.stages, key=lambda stage: (stage.batch_size * math.prod(stage.patch_size), stage.patch_size)
    )
    by_patches = max(schedule.stages, key=lambda stage: (stage.batch_size, stage.patch_size))
    return [by_voxels] if by_patches.batch_size == by_voxels.batch_size else [by_voxels, by_patches]


def rehearse(trainer: Any, schedule: GrowthSchedule, *, in_channels: int, num_classes: int, windows: int = 0) -> None:
    """Run forward and backward, with the optimiser's memory taken, on a batch of noise of each of the heaviest stages.

    Before that the windows of a validation are predicted. A batch that doesn't fit is taken apart, as in the run, which
    then begins with as many parts. Weights, buffers, optimiser and random numbers are left as they were, and the memory
    is given back. The peak is logged.

    Args:
        trainer: MONAI's SupervisedTrainer, with a :class:`monai_patchgrow.handlers.MicroBatches`.
        schedule: the plan.
        in_channels: of the images.
        num_classes: background included.
        windows: full patches that a validation predicts at a time; 0: none is tried.

    Raises:
        MemoryShort: a batch that doesn't fit however it is taken apart, or windows that don't, in one line.
    """
    device = trainer.state.device
    if windows:
        _predict(trainer, torch.zeros(windows, in_channels, *schedule.patch_size, device=device))
    for stage in heaviest_stages(schedule):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with left_as_it_was(trainer.network, device):
            image = torch.rand(stage.batch_size, in_channels, *stage.patch_size, device=device)
            label = torch.randint(num_classes, (stage.batch_size, 1, *stage.patch_size), device=device).float()

            def attempt(parts: int, image: Tensor = image, label: Tensor = label) -> None:
                reserved = _optimizer_memory(trainer.optimizer)
                trainer.network.train()
                backward_in_parts(trainer, image, label, parts)
                trainer.optimizer.zero_grad(set_to_none=True)
                del reserved

            trainer.state.micro_batches.fit(trainer, stage.patch_size, stage.batch_size, attempt)
        del image, label, attempt
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device) / 2**30
            batch = f"{stage.batch_size} patches of {format_size(stage.patch_size)}"
            _logger.info("a batch of %s takes %.1f GiB of the GPU's memory", batch, peak)
            torch.cuda.empty_cache()


def _predict(trainer: Any, patches: Tensor) -> None:
    precision = torch.autocast("cuda", **trainer.amp_kwargs) if trainer.amp else nullcontext()
    try:
        with left_as_it_was(trainer.network, patches.device), torch.no_grad(), precision:
            trainer.network.eval()(patches)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        windows = f"{len(patches)} windows of {format_size(patches.shape[2:])}"
        remedy = "take a smaller validate#inferer#sw_batch_size"
        raise MemoryShort(f"out of memory in validation ({windows}): {remedy} ({error})") from error


def _optimizer_memory(optimizer: Optimizer) -> list[Tensor]:
    """Tensors as large as those that an optimiser keeps from its first step on."""
    group = optimizer.param_groups[0]
    probe = torch.zeros(2, requires_grad=True, device=group["params"][0].device)
    probe.grad = torch.zeros_like(probe)
    make: Any = type(optimizer)
    trial = make([{**group, "params": [probe]}])
    trial.step()
    kept = [value for value in trial.state[probe].values() if isinstance(value, Tensor) and value.shape == probe.shape]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    return [torch.empty_like(weight) for weight in weights for _ in kept]
