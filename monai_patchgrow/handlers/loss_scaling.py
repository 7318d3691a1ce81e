"""The Ignite handler that scales the loss under AMP only where the number format needs it."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim import Optimizer

__all__ = ["LossScaling", "amp_dtype"]


def amp_dtype(device: torch.device | str) -> torch.dtype:
    """What AMP computes in on a device: bfloat16 where the hardware has it, else float16."""
    kind = torch.device(device)
    if kind.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


class LossScaling:
    """Switches a MONAI trainer's loss scaling off where AMP computes in bfloat16.

    bfloat16 has the range of float32, so nothing underflows, and looking for infinite gradients in every step is for
    nothing. :class:`ResumableRun`, which loads a checkpoint's scaler, comes behind it.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, whose ``amp_kwargs`` name the type."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Replace the scaler, which MONAI makes when a run starts; without AMP there is none."""
        if engine.scaler is not None and engine.amp_kwargs.get("dtype") is torch.bfloat16:
            engine.scaler = torch.amp.GradScaler(enabled=False)
        elif engine.scaler is not None and engine.scaler.is_enabled():
            _start_momentum(engine.optimizer)


def _start_momentum(optimizer: Optimizer) -> None:
    """Begin the momentum of a fused SGD with zeros, which the first step makes the gradients of.

    torch takes memory for it as it comes, and a first step that the scale's overflow skips leaves that as it is.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"]:
            for weight in group["params"]:
                optimizer.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
