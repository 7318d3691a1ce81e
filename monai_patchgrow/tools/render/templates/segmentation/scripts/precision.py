"""Which precision a device predicts in."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["amp_dtype", "is_on"]


def amp_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16, but for GPUs that would emulate it: float16."""
    is_gpu = torch.device(device).type == "cuda"
    return torch.float16 if is_gpu and not torch.cuda.is_bf16_supported(including_emulation=False) else torch.bfloat16


def is_on(switch: Any) -> bool:
    """Whether a setting is true; on a command line either spelling arrives."""
    return str(switch).lower() == "true"
