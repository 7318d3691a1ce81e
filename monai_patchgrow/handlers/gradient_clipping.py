"""The handler that clips the gradients' norm before each optimiser step."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from torch import nn
from torch.optim import Optimizer

__all__ = ["GradientClipping"]


class GradientClipping:
    """Clips the norm over all parameters of an optimiser; right under AMP too, where it sees unscaled gradients.

    Args:
        optimizer: the optimiser whose steps are preceded by clipping.
        max_norm: largest L2 norm (nnU-Net v2: 12).

    Raises:
        ValueError: a `max_norm` that is not positive.
    """

    def __init__(self, optimizer: Optimizer, max_norm: float = 12.0) -> None:
        if max_norm <= 0:
            raise ValueError(f"max_norm must be positive, got {max_norm}")
        self.optimizer = optimizer
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Register on the optimiser; the engine is not needed, but handlers attach to one."""
        self.optimizer.register_step_pre_hook(self)

    def __call__(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Clip; torch calls this at the start of ``optimizer.step()``."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = getattr(optimizer, "gradient_norm", None)  # FiniteSteps has measured it
        if norm is None:
            norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        # A GradScaler leaves its scale here for a fused optimiser, which unscales inside of its step. It stays on the
        # GPU: a number would be waited for.
        scale = getattr(optimizer, "grad_scale", None)
        nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm if scale is None else norm / scale)
