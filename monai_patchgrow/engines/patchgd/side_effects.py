"""What a forward pass does besides its output: buffers that move, statistics that count, random numbers drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from monai_patchgrow.internals.torch import BatchNorm, InstanceNorm, Norm

__all__ = ["KeptBuffers", "KeptGenerators", "modules_of", "moves", "random_numbers_drawn", "statistics_moved_as_by"]


class KeptBuffers:
    """A network's buffers, such as running statistics, as they are now.

    >>> norm = nn.BatchNorm1d(1)
    >>> kept = KeptBuffers(norm)
    >>> _ = norm(torch.ones(2, 1))
    >>> kept.put_back()
    >>> norm.running_mean.tolist()
    [0.0]
    """

    def __init__(self, network: Callable[..., Tensor]) -> None:
        owned = [(module, buffer) for module in modules_of(network) for buffer in module.buffers(recurse=False)]
        self._kept = [(module, buffer, buffer.clone()) for module, buffer in owned]

    def put_back(self) -> None:
        """Give the buffers the values that they had."""
        with torch.no_grad():
            for _, buffer, before in self._kept:
                buffer.copy_(before)

    def moved_beside_norms(self) -> bool:
        """Whether a buffer that isn't a norm's has another value now, as spectral norm's has after each pass."""
        others = [(now, before) for module, now, before in self._kept if not isinstance(module, Norm)]
        return not all(torch.equal(now, before) for now, before in others)


class KeptGenerators:
    """torch's random generators, the CPU's and the device's, as they are now.

    >>> kept = KeptGenerators(torch.device("cpu"))
    >>> drawn = torch.rand(1)
    >>> kept.have_moved()
    True
    >>> kept.put_back()
    >>> bool(torch.rand(1) == drawn)
    True
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept = self._states()

    def put_back(self) -> None:
        """Let the generators draw again what they have drawn since."""
        cpu, *own = self._kept
        torch.set_rng_state(cpu)
        for state in own:
            torch.cuda.set_rng_state(state, self._device)

    def have_moved(self) -> bool:
        """Whether one of them was drawn from."""
        return not all(map(torch.equal, self._kept, self._states()))

    def _states(self) -> list[Tensor]:
        own = [torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []
        return [torch.get_rng_state(), *own]


@contextmanager
def statistics_moved_as_by(network: Callable[..., Tensor], passes: int) -> Iterator[Callable[[], bool]]:
    """Let one pass move running statistics as far as `passes` passes over the same values would.

    Gives a function that tells, when the block is over, whether that holds: each norm was passed once. With 0 passes
    statistics stay where they are.
    """
    norms = [module for module in modules_of(network) if isinstance(module, Norm) and moves(module)]
    momenta, before = [norm.momentum for norm in norms], [_count(norm) for norm in norms]
    for norm, count in zip(norms, before, strict=True):
        if norm.momentum is None:  # the mean over all passes since the start
            norm.momentum = passes / (count + passes) if passes else 0.0
        else:
            norm.momentum = 1 - (1 - norm.momentum) ** passes
    passed_once: list[bool] = []
    try:
        yield lambda: all(passed_once)
    finally:
        for norm, momentum, count in zip(norms, momenta, before, strict=True):
            norm.momentum = momentum
            if isinstance(norm, BatchNorm) and norm.num_batches_tracked is not None:
                passed = _count(norm) - count
                passed_once.append(passed == 1)
                norm.num_batches_tracked += passes - 1 if passed else 0


@contextmanager
def random_numbers_drawn(device: torch.device) -> Iterator[Callable[[], bool]]:
    """Tell, when the block is over, whether torch's generators were drawn from in it.

    It finds what no list of modules holds, such as a function's dropout.

    >>> with random_numbers_drawn(torch.device("cpu")) as drawn:
    ...     _ = torch.rand(1)
    >>> drawn()
    True
    """
    kept, moved = KeptGenerators(device), [False]
    yield lambda: moved[0]
    moved[0] = kept.have_moved()


def moves(norm: Norm) -> bool:
    """Whether a norm's running statistics move with each pass."""
    is_still = isinstance(norm, InstanceNorm) and norm.momentum is None  # torch takes None for 0 there
    return norm.training and norm.track_running_stats and norm.running_mean is not None and not is_still


def modules_of(network: Callable[..., Tensor]) -> Iterator[nn.Module]:
    """All modules of a network; none of a function."""
    return network.modules() if isinstance(network, nn.Module) else iter(())


def _count(norm: Norm) -> int:
    return int(norm.num_batches_tracked or 0)
