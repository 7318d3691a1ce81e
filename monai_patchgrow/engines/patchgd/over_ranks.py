"""Gradients and weights of a distributed PatchGD run, whose many backward passes a wrapper would each exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn

__all__ = ["average_buffers", "average_gradients", "same_weights"]


def average_gradients(parameters: Sequence[nn.Parameter], *, weight: float) -> None:
    """Replace gradients by their mean over the ranks, in one exchange; alone, leave them.

    Args:
        parameters: the same ones, in the same order, on every rank. One that has a gradient on some ranks only counts
            as 0 on the others; without any it stays without.
        weight: of this rank's gradients: its number of images, where the loss is their mean.
    """
    if idist.get_world_size() == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    dtype = torch.float64 if any(p.dtype == torch.float64 for p in trained) else torch.float32
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    means, has_any = _means(gradients, [p.grad is not None for p in trained], weight=weight, dtype=dtype)
    for parameter, mean, ranks in zip(trained, means, has_any, strict=True):
        if ranks:
            parameter.grad = mean.to(parameter)


def average_buffers(network: nn.Module, *, weight: float) -> None:
    """Replace floating-point buffers, running statistics above all, by their mean over the ranks; alone, leave them.

    Without it each rank would validate, and rank 0 save, a network of its own.

    Args:
        network: the same one on every rank.
        weight: of this rank's buffers: its number of images.
    """
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if idist.get_world_size() == 1 or not buffers:
        return
    with torch.no_grad():
        for buffer, mean in zip(buffers, _means(buffers, weight=weight, dtype=torch.float64)[0], strict=True):
            buffer.copy_(mean)


def same_weights(network: nn.Module) -> None:
    """Give parameters and buffers the values of rank 0."""
    if idist.get_world_size() == 1:
        return
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            first: Tensor | Any = idist.broadcast(tensor.detach().clone(), src=0)
            tensor.copy_(first)


def _means(
    tensors: Sequence[Tensor], counted: Sequence[float] = (), *, weight: float, dtype: torch.dtype
) -> tuple[list[Tensor], list[float]]:
    """Weighted means of tensors over the ranks, and the sums of some numbers, in one exchange of `dtype`."""
    tail = torch.tensor([*counted, weight], dtype=dtype, device=tensors[0].device)
    total: Any = idist.all_reduce(torch.cat([*(tensor.flatten().to(dtype) * weight for tensor in tensors), tail]))
    means = (total[: -len(tail)] / total[-1]).split([tensor.numel() for tensor in tensors])
    shaped = [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)]
    return shaped, total[-len(tail) : -1].tolist()
