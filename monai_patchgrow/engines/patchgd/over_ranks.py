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
    tail = torch.tensor([*(p.grad is not None for p in trained), weight], dtype=dtype, device=trained[0].device)
    bucket = torch.cat([*(gradient.flatten().to(dtype) * weight for gradient in gradients), tail])
    total: Any = idist.all_reduce(bucket)
    means, has_any = total[: -len(tail)] / total[-1], total[-len(tail) : -1].tolist()
    parts = means.split([parameter.numel() for parameter in trained])
    for parameter, mean, ranks in zip(trained, parts, has_any, strict=True):
        if ranks:
            parameter.grad = mean.view_as(parameter).to(parameter)


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
        parts = [*(buffer.flatten().double() * weight for buffer in buffers), buffers[0].new_tensor([weight]).double()]
        total: Any = idist.all_reduce(torch.cat(parts))
        means = (total[:-1] / total[-1]).split([buffer.numel() for buffer in buffers])
        for buffer, mean in zip(buffers, means, strict=True):
            buffer.copy_(mean.view_as(buffer))


def same_weights(network: nn.Module) -> None:
    """Give parameters and buffers the values of rank 0."""
    if idist.get_world_size() == 1:
        return
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            first: Tensor | Any = idist.broadcast(tensor.detach().clone(), src=0)
            tensor.copy_(first)
