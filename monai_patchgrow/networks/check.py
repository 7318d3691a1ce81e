"""Tries a network on the first patches of a schedule, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from monai_patchgrow.networks.patch_rules import PatchRule, patch_rule
from monai_patchgrow.networks.surgery.deep_supervision import DeepSupervision
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.schedules.growth import check_patch_size

__all__ = ["check_network", "left_as_it_was"]

_SIZES = 2  # the second shows what a size that is not the same on all axes does


def check_network(network: nn.Module, schedule: GrowthSchedule, *, in_channels: int) -> None:
    """Check that a network can be trained on a schedule's patches: by its patch rule, then by trying the first two.

    A batch of one or two runs forward, in training mode and without gradient; the full patch, which a network is
    made for, is not tried. The network, its buffers and torch's random numbers are left as they were.

    Args:
        network: as it is trained, on any device (see :func:`monai_patchgrow.networks.training_network`).
        schedule: the plan.
        in_channels: input channels.

    Raises:
        ValueError: a size that the network does not take, in one line with its class, the size and the reason.

    >>> from monai.networks.nets import SegResNet
    >>> schedule = GrowthSchedule.plan(patch_size=(20, 8), total_stride=(4, 4), batch_size=2, max_epochs=9)
    >>> check_network(SegResNet(spatial_dims=2), schedule, in_channels=1)
    Traceback (most recent call last):
    ValueError: SegResNet: patch_size must be a multiple of total_stride on every axis, got 20 on axis 0 (stride 8): \
nearest are 16 and 24
    """
    rule = patch_rule(network, default=schedule.total_stride)
    _check_sizes(network, rule, schedule)
    for size in schedule.candidates[:_SIZES]:
        if size == schedule.patch_size:
            continue
        batch = min((stage.batch_size for stage in schedule.stages if stage.patch_size == size), default=2)
        _try(network, (min(batch, 2), in_channels, *size), hint=_hint(rule))


def _check_sizes(network: nn.Module, rule: PatchRule, schedule: GrowthSchedule) -> None:
    name = _name(network)
    if rule.full_patch not in (None, schedule.patch_size):
        raise ValueError(f"{name}: patch_size must be its img_size, {rule.full_patch}, got {schedule.patch_size}")
    for size in (schedule.patch_size, *schedule.candidates):
        try:
            check_patch_size(size, rule.total_stride)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _try(network: nn.Module, shape: tuple[int, ...], *, hint: str) -> None:
    size = format_size(shape[2:])
    parameter = next(network.parameters())
    patch = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
    try:
        with left_as_it_was(network, parameter.device), torch.no_grad():
            output = network.train()(patch)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{_name(network)} can't be trained on patches of {size}{hint}: {reason}") from error
    logits = output[0] if isinstance(output, list | tuple) else output
    if not isinstance(logits, Tensor) or logits.shape[2:] != shape[2:]:
        given = format_size(logits.shape[2:]) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"{_name(network)} can't be trained on patches of {size}{hint}: its output is {given}")


@contextmanager
def left_as_it_was(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a network's buffers and modes, and torch's random numbers, back when the block ends."""
    before = [(module, module.training, _buffers_of(module)) for module in network.modules()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for module, mode, buffers in before:
            module.training = mode
            for name, (buffer, values) in buffers.items():
                setattr(module, name, buffer.copy_(values))


def _buffers_of(module: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """The module's own buffers, each with a copy of its values."""
    own = module.named_buffers(recurse=False, remove_duplicate=False)
    return {name: (buffer, buffer.clone()) for name, buffer in own}


def _hint(rule: PatchRule) -> str:
    return f" (smallest_patch {list(rule.smallest_patch)} would do)" if rule.smallest_patch else ""


def _name(network: nn.Module) -> str:
    """The network's class, as its author named it."""
    plain = network.network if isinstance(network, DeepSupervision) else network
    ours = __name__.split(".")[0]
    return next(kind.__name__ for kind in type(plain).__mro__ if kind.__module__.split(".")[0] != ours)
