"""Sends many small tensors to a GPU at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["sent_together"]


def sent_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return the tensors on a device, to which each dtype takes one copy; no device is awaited.

    Args:
        tensors: on the CPU, any shapes and dtypes.
        device: where to.

    >>> [tuple(one.shape) for one in sent_together([torch.ones(2), torch.ones(3, 1)], torch.device("meta"))]
    [(2,), (3, 1)]
    """
    if device.type == "cpu":
        return list(tensors)
    sent: dict[int, Tensor] = {}
    for dtype in {one.dtype for one in tensors}:
        alike = [number for number, one in enumerate(tensors) if one.dtype == dtype]
        packed = torch.cat([tensors[number].flatten() for number in alike])
        if device.type == "cuda":
            packed = packed.pin_memory()
        parts = packed.to(device, non_blocking=True).split([tensors[number].numel() for number in alike])
        sent |= {number: part.view(tensors[number].shape) for number, part in zip(alike, parts, strict=True)}
    return [sent[number] for number in range(len(tensors))]
