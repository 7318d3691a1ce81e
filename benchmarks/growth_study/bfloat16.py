"""bfloat16 on a CPU, for the study alone: with AMX it makes the full patch 1.7 times as fast.

No option of the package: torch 2.13's convolutions in bfloat16 read memory that is not theirs on some small shapes
(Conv3d(32, 64, 3, stride=2, padding=1) on (64, 32, 4, 4, 2) returns 1e35), and nothing says so. Which shapes those are
depends on the CPU: an AMD EPYC without AMX fails with two voxels at the bottleneck, where an Intel with it does not.
``check`` runs every size of a plan on poisoned memory, where that shows.

    .venv/bin/python benchmarks/growth_study check task04
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["InBfloat16", "largest_deviation"]

_SMALLEST_BOTTLENECK = 3  # voxels per axis; smaller patches are computed in float32, which costs them little
_POISON = (300, 1000, 5000, 20_000, 100_000, 300_000, 1_000_000, 5_000_000)


class InBfloat16(nn.Module):
    """Runs a network under ``torch.autocast("cpu")`` on all but the smallest patches; it returns float32.

    MONAI's ``SupervisedTrainer`` writes ``torch.autocast("cuda")``, which a CPU ignores.

    Args:
        network: gets the same input, ``(B, C, *spatial)``; it returns a tensor, or a list or tuple of them.
        total_stride: of the network, voxels per axis.
    """

    def __init__(self, network: nn.Module, *, total_stride: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.total_stride = tuple(total_stride)

    def forward(self, image: Tensor) -> Any:
        """Return what the network returns, as float32."""
        sizes = zip(image.shape[2:], self.total_stride, strict=True)
        enabled = all(size >= _SMALLEST_BOTTLENECK * stride for size, stride in sizes)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            output = self.network(image)
        return output.float() if isinstance(output, Tensor) else type(output)(one.float() for one in output)


def largest_deviation(network: nn.Module, image: Tensor, *, repeats: int = 4) -> float:
    """Repeat a forward and a backward pass on poisoned memory; return how far any gradient strays between repeats.

    Args:
        network: any.
        image: its input, ``(B, C, *spatial)``.
        repeats: passes that are compared with the first.

    Returns:
        0 where every pass gives the same bits; inf where a gradient is not finite.
    """
    first: list[Tensor] = []
    worst = 0.0
    for _ in range(repeats + 1):
        # What is freed here is what a faulty kernel reads.
        kinds = (torch.float32, torch.bfloat16)
        poison = [torch.full((size,), 1e30, dtype=kind) for size in _POISON for kind in kinds]
        del poison
        network.zero_grad(set_to_none=True)
        output = network(image)
        outputs = [output] if isinstance(output, Tensor) else list(output)
        torch.stack([one.square().mean() for one in outputs]).sum().backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        first = first or gradients
        deviations = [float((a - b).abs().max()) for a, b in zip(gradients, first, strict=True)]
        worst = max(worst, *(one if one == one else float("inf") for one in deviations))
    return worst
