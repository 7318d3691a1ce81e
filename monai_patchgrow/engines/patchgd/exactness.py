"""When one pass of the head gives the very update of all inner steps, and what rules it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from monai_patchgrow.engines.patchgd.chunks import Chunks

__all__ = ["buffers_kept", "mixes_patches", "norms_counting", "random_numbers_drawn", "why_stepwise"]


def why_stepwise(
    encoder: Callable[..., Tensor], head: Callable[..., Tensor], chunks: Chunks, *, accumulation: int
) -> str | None:
    """What makes the exact variant another update than the inner steps, in a few words; None where nothing does.

    Z must stay as it is through all inner steps: the weights change after the last one only, and a cell is encoded as
    in the fill.
    """
    if accumulation < len(chunks.inner):
        return f"the optimiser steps after every {accumulation} of {len(chunks.inner)} inner steps"
    for name, network in (("encoder", encoder), ("head", head)):
        if dropout := _active_dropout(network):
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

    >>> mixes_patches(nn.BatchNorm2d(1)), mixes_patches(nn.BatchNorm2d(1).eval()), mixes_patches(nn.LayerNorm(1))
    (True, False, False)
    """
    return any(
        isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
        for module in _modules(network)
    )


@contextmanager
def random_numbers_drawn(device: torch.device) -> Iterator[Callable[[], bool]]:
    """Tell, when the block is over, whether torch's generators were drawn from in it.

    It finds what no list of modules holds, such as a function's dropout.

    >>> with random_numbers_drawn(torch.device("cpu")) as drawn:
    ...     _ = torch.rand(1)
    >>> drawn()
    True
    """
    before = _generator_states(device)
    after: list[Tensor] = []

    def drawn() -> bool:
        return not all(map(torch.equal, before, after))

    yield drawn
    after.extend(_generator_states(device))


@contextmanager
def buffers_kept(network: Callable[..., Tensor]) -> Iterator[Callable[[], None]]:
    """Give a function that puts a network's buffers, such as running statistics, back as they are now."""
    buffers = [buffer for module in _modules(network) for buffer in module.buffers(recurse=False)]
    kept = [buffer.clone() for buffer in buffers]

    def put_back() -> None:
        with torch.no_grad():
            for buffer, before in zip(buffers, kept, strict=True):
                buffer.copy_(before)

    yield put_back


@contextmanager
def norms_counting(network: Callable[..., Tensor], passes: int) -> Iterator[None]:
    """Let one pass move running statistics as far as `passes` passes over the same values would."""
    norms = [module for module in _modules(network) if isinstance(module, _NormBase) and _moves(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        if norm.momentum is None:  # the mean over all passes since the start
            norm.momentum = passes / (int(norm.num_batches_tracked or 0) + passes)
        else:
            norm.momentum = 1 - (1 - norm.momentum) ** passes
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if isinstance(norm, _BatchNorm) and norm.num_batches_tracked is not None:
                norm.num_batches_tracked += passes - 1


def _moves(norm: _NormBase) -> bool:
    return norm.training and norm.track_running_stats and norm.running_mean is not None


def _active_dropout(network: Callable[..., Tensor]) -> str | None:
    """The first dropout of a network that drops anything."""
    for module in _modules(network):
        if isinstance(module, _DropoutNd) and module.training and module.p > 0:
            return f"{type(module).__name__}(p={module.p})"
    return None


def _modules(network: Callable[..., Tensor]) -> Iterator[nn.Module]:
    return network.modules() if isinstance(network, nn.Module) else iter(())


def _generator_states(device: torch.device) -> list[Tensor]:
    own = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *own]
