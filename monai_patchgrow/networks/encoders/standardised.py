"""An encoder whose patches are standardised first: mean and deviation belong to the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["StandardisedEncoder"]


class StandardisedEncoder(nn.Module):
    """Takes a mean off each channel and divides by a deviation, before an encoder.

    Pretrained weights want the mean and deviation that they were trained with. Without norms, what a convolution makes
    of a channel's mean can hide what it makes of a texture, and little is learnt. Both numbers are saved with the
    weights, and loaded with them.

    Args:
        network: ``(N, C, *patch)`` to ``(N, D)``.
        in_channels: C.
        mean: of a channel, in the unit of its voxels as the network gets them (unsigned integers as 0 to 1); one
            number, or one per channel.
        std: the deviation, above 0; one number, or one per channel.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``.

    Raises:
        ValueError: numbers that aren't finite, a deviation that isn't above 0, or another number of them than channels.

    >>> encoder = StandardisedEncoder(nn.Flatten(), 1, mean=0.5, std=0.25)
    >>> encoder(torch.ones(1, 1, 1, 2))
    tensor([[2., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        in_channels: int,
        *,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", _per_channel(mean, in_channels, name="mean"))
        self.register_buffer("std", _per_channel(std, in_channels, name="std"))
        if (self.std <= 0).any():
            raise ValueError(f"std must be above 0, got {std}")

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        shape = (1, -1, *[1] * (patches.ndim - 2))
        shift, scale = -self.mean / self.std, 1 / self.std
        return self.network(torch.addcmul(shift.view(shape), patches, scale.view(shape)))


def _per_channel(given: float | Sequence[float], channels: int, *, name: str) -> Tensor:
    numbers = [given] * channels if isinstance(given, int | float) else list(given)
    if len(numbers) != channels or not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise ValueError(f"{name} must be a number, or {channels}, one per channel, got {given!r}")
    return torch.tensor(numbers, dtype=torch.float32)
