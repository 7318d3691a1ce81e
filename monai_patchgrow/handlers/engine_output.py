"""Reads a MONAI engine's output, whether the engine decollates its batches (its default) or not."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from torch import Tensor

__all__ = ["loss_of"]


def loss_of(engine: Engine) -> Tensor:
    """The scalar loss of the iteration that just ended."""
    output: Any = engine.state.output
    return (output[0] if isinstance(output, list) else output)["loss"].detach()
