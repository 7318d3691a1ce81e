"""Background among the patches of a chunk: those that are all of one value, of which one stands for all alike."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["constant_patches", "merge_constant_patches", "white_value"]

_AT_A_TIME = 64  # patches that are compared with their first voxels: enough to be fast, few to copy


def merge_constant_patches(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Keep one of the patches that hold one and the same constant, as empty glass or black background do.

    A patch is constant where all voxels of each channel are equal, to the bit. ``encoder(kept)[rows]`` are the latents
    of all patches, in order, where the encoder treats every patch alone and draws nothing at random; gradients of
    patches that share a latent add up on their own.

    Args:
        patches: ``(N, C, *patch)``, of any type.

    Returns:
        The patches to encode ``(M, C, *patch)``, in order, the same tensor where no two are shared; and for each of
        the N its row among them, on the device of the patches.

    Example:
        >>> kept, rows = merge_constant_patches(torch.tensor([[[0, 0]], [[5, 6]], [[0, 0]], [[7, 7]]]))
        >>> kept.tolist(), rows.tolist()
        ([[[0, 0]], [[5, 6]], [[7, 7]]], [0, 1, 0, 2])
    """
    row_of: dict[tuple[float, ...] | int, int] = {}
    first, rows = list[int](), list[int]()
    for number, value in enumerate(_constants(patches)):
        key = number if value is None else value
        if key not in row_of:
            row_of[key] = len(first)
            first.append(number)
        rows.append(row_of[key])
    kept = patches if len(first) == len(patches) else patches[first]
    return kept, torch.tensor(rows, device=patches.device)


def constant_patches(patches: Tensor) -> Tensor:
    """Which patches ``(N, C, *patch)`` hold one value in each channel, ``(N,)`` bool on the CPU.

    >>> constant_patches(torch.tensor([[[0, 0]], [[5, 6]], [[7, 7]]])).tolist()
    [True, False, True]
    """
    return torch.tensor([value is not None for value in _constants(patches)], dtype=torch.bool)


def _constants(patches: Tensor) -> list[tuple[float, ...] | None]:
    """The value per channel of each patch that is constant, None for the others."""
    voxels = patches.flatten(2)
    found: list[tuple[float, ...] | None] = [None] * len(patches)
    # Most patches fall out by their corners, before all of their voxels are looked at.
    (likely,) = (voxels[..., 0] == voxels[..., -1]).all(1).nonzero(as_tuple=True)
    for some in likely.split(_AT_A_TIME):
        parts = voxels[some]
        constant = (parts == parts[..., :1]).flatten(1).all(1).tolist()
        values = parts[..., 0].tolist()
        for number, is_constant, value in zip(some.tolist(), constant, values, strict=True):
            found[number] = tuple(value) if is_constant else None
    return found


_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32)


def white_value(dtype: torch.dtype) -> int:
    """What a network gets as 1: the largest value of an unsigned integer type; 1 of all others, which stay as they are.

    Signed integers have units, as the Hounsfield units of a CT, and floats are what somebody has scaled already.

    Example:
        >>> [white_value(dtype) for dtype in (torch.uint8, torch.uint16, torch.int16, torch.float32)]
        [255, 65535, 1, 1]
    """
    return torch.iinfo(dtype).max if dtype in _UNSIGNED else 1
