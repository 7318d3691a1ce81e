"""Says, before a bundle's run, what its device can't do and what is done instead."""

from __future__ import annotations

import logging
from typing import Any

import ignite.distributed as idist
import torch

from monai_patchgrow.networks.half_convolutions import mend_half_convolutions
from monai_patchgrow.networks.idle_gpu import idle_gpu

__all__ = ["warn_of_device"]

_logger = logging.getLogger(__name__)


def warn_of_device(engine: Any, *, spatial_dims: int) -> None:
    """Warn of an NVIDIA card that a run on the CPU leaves idle, and of a cuDNN that is faulty; one process warns.

    Args:
        engine: MONAI's trainer or evaluator.
        spatial_dims: of the network.
    """
    device = engine.state.device
    dtype = engine.amp_kwargs.get("dtype", torch.float16) if engine.amp else torch.float32
    lines = [
        idle_gpu() if device.type == "cpu" else None,
        mend_half_convolutions(device, dtype, spatial_dims=spatial_dims),
    ]
    for line in filter(None, lines):
        if idist.get_local_rank() == 0:
            _logger.warning(line)
