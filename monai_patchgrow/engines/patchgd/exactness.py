"""When a shortcut gives the very update of all inner steps, encoded patch by patch, and what rules it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from monai_patchgrow.engines.patchgd.chunks import Chunks
from monai_patchgrow.engines.patchgd.side_effects import modules_of, moves, random_numbers_drawn
from monai_patchgrow.internals.torch import BatchNorm, Dropout, Norm

__all__ = [
    "active_dropout",
    "each_patch_by_itself",
    "is_frozen",
    "mixes_patches",
    "why_equal_patches_differ",
    "why_stepwise",
]


def why_stepwise(
    encoder: Callable[..., Tensor], head: Callable[..., Tensor], chunks: Chunks, *, steps: int, accumulation: int
) -> str | None:
    """What makes the exact variant another update than the inner steps, in a few words; None where nothing does.

    Z must stay as it is through all inner steps: the weights change after the last one only, and a cell is encoded as
    in the fill.

    Args:
        encoder: of patches.
        head: of latent grids.
        chunks: the cells that are encoded together.
        steps: inner steps.
        accumulation: of them per step of the optimiser.
    """
    if accumulation < steps:
        return f"the optimiser steps after every {accumulation} of {steps} inner steps"
    for name, network in (("encoder", encoder), ("head", head)):
        if dropout := active_dropout(network):
            return f"{dropout} is active in the {name}"
    filled = {cell for chunk in chunks.fill for cell in chunk}
    if not {cell for chunk in chunks.inner for cell in chunk} <= filled:
        return "an inner chunk has a cell that the fill has not"
    if not mixes_patches(encoder):
        return None
    if sum(map(len, chunks.fill)) > len(filled):
        return "the encoder has batch norm, and two chunks of the fill share a cell"
    if not {frozenset(chunk) for chunk in chunks.inner} <= {frozenset(chunk) for chunk in chunks.fill}:
        return "the encoder has batch norm, and an inner chunk is none of the fill's"
    return None


def mixes_patches(network: Callable[..., Tensor]) -> bool:
    """Whether a patch's latent depends on the others of its chunk: batch norm in training does that.

    >>> from torch import nn
    >>> mixes_patches(nn.BatchNorm2d(1)), mixes_patches(nn.BatchNorm2d(1).eval()), mixes_patches(nn.LayerNorm(1))
    (True, False, False)
    """
    return any(
        isinstance(module, BatchNorm) and (module.training or module.running_mean is None)
        for module in modules_of(network)
    )


def is_frozen(encoder: Callable[..., Tensor]) -> bool:
    """Whether encoding a chunk with gradient changes nothing: no parameter learns, and no running statistic moves.

    >>> from torch import nn
    >>> is_frozen(nn.Linear(1, 1)), is_frozen(nn.Linear(1, 1).requires_grad_(False)), is_frozen(abs)
    (False, True, False)
    """
    if not isinstance(encoder, torch.nn.Module):
        return False
    moving = any(isinstance(module, Norm) and moves(module) for module in encoder.modules())
    return not moving and not any(parameter.requires_grad for parameter in encoder.parameters())


def why_equal_patches_differ(encoder: Callable[..., Tensor]) -> str | None:
    """What makes an encoder give equal patches unequal latents, or count them, in a few words; None where nothing does.

    >>> from torch import nn
    >>> why_equal_patches_differ(nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)))
    'BatchNorm2d in training mode'
    """
    if dropout := active_dropout(encoder):
        return f"active {dropout}"
    for module in modules_of(encoder):
        if isinstance(module, Norm) and (mixes_patches(module) or moves(module)):
            return f"{type(module).__name__} {'in training mode' if module.training else 'without running statistics'}"
    return None


@contextmanager
def each_patch_by_itself(encoder: Callable[..., Tensor], device: torch.device) -> Iterator[None]:
    """A block in which an encoder must treat each patch by itself and draw no random number, as sharing latents needs.

    Raises:
        ValueError: it has what rules that out, or random numbers were drawn.

    >>> from torch import nn
    >>> with each_patch_by_itself(nn.Dropout(0.5), torch.device("cpu")):
    ...     pass
    Traceback (most recent call last):
    ValueError: skip_background needs an encoder that draws no random numbers ... but it has active Dropout(p=0.5): ...
    """
    why = why_equal_patches_differ(encoder)
    if why is None:
        with random_numbers_drawn(device) as drawn:
            yield
        why = "random numbers, its own or those of normalise" if drawn() else None
    if why is not None:
        raise ValueError(
            "skip_background needs an encoder that draws no random numbers and whose latents depend on their own patch "
            f"alone, but it has {why}: take dropout 0 and another norm, such as group norm, or evaluation mode"
        )


def active_dropout(network: Callable[..., Tensor]) -> str | None:
    """The first dropout of a network that drops anything."""
    for module in modules_of(network):
        if isinstance(module, Dropout) and module.training and module.p > 0:
            return f"{type(module).__name__}(p={module.p})"
    return None
