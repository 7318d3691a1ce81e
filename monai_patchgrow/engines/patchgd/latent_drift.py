"""How far the latents of an inner step lie from those that the fill wrote for the same cells."""

from __future__ import annotations

import warnings

from torch import Tensor

__all__ = ["LatentDrift"]

_SAME = 0.02  # of the latents' norm: above what half precision and another order of sums do


class LatentDrift:
    """Tells whether cells were encoded as in the fill, which one head pass for all inner steps rests on.

    No list of modules shows every encoder whose latents depend on the other patches of their chunk.

    >>> import torch
    >>> drift = LatentDrift()
    >>> drift.add(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]))
    >>> drift.check(insist=True)
    >>> drift.add(torch.tensor([[3.0, 5.0]]), torch.tensor([[3.0, 4.0]]))
    >>> drift.check(insist=True)
    Traceback (most recent call last):
    ValueError: the encoder's latents of a patch are 14 % apart from one chunk to another, ...: take exact=False
    """

    def __init__(self) -> None:
        self._squares: tuple[Tensor | float, Tensor | float] = 0.0, 0.0

    def add(self, latents: Tensor, filled: Tensor) -> None:
        """Compare latents ``(N, D)`` of some cells with those of the fill."""
        latents, filled = latents.double(), filled.double()
        self._squares = self._squares[0] + (latents - filled).square().sum(), self._squares[1] + filled.square().sum()

    def check(self, *, insist: bool) -> None:
        """Warn where the latents differ by more than rounding.

        Raises:
            ValueError: they do, and the caller insists on one head pass.
        """
        apart, norm = (float(squares) ** 0.5 for squares in self._squares)
        if not apart > _SAME * norm:
            return
        message = (
            f"the encoder's latents of a patch are {apart / max(norm, 1e-300):.0%} apart from one chunk to another, so "
            "one head pass isn't the same as the inner steps: take exact=False"
        ).replace("%", " %")
        if insist:
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)
