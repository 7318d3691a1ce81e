"""Which value of an image's type stands for 1, where images are scaled to 0..1."""

from __future__ import annotations

import torch

__all__ = ["full_scale"]

_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32)


def full_scale(dtype: torch.dtype) -> int:
    """The largest value of an unsigned integer type; 1 for all others, which stay as they are.

    Signed integers have units, as the Hounsfield units of a CT, and floats are what somebody has scaled already.

    Example:
        >>> [full_scale(dtype) for dtype in (torch.uint8, torch.uint16, torch.int16, torch.float32)]
        [255, 65535, 1, 1]
    """
    return torch.iinfo(dtype).max if dtype in _UNSIGNED else 1
