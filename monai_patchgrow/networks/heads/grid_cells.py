"""Which cells of a latent grid belong to an image, and means over them."""

from __future__ import annotations

from torch import Tensor

__all__ = ["clear_padding", "mean_over_cells"]


def clear_padding(latent: Tensor, mask: Tensor | None) -> Tensor:
    """Set the cells that an image doesn't have to 0, whatever they hold, NaN included.

    Args:
        latent: ``(B, D, *grid)``.
        mask: which cells an image has, ``(B, *grid)`` bool; None: all.
    """
    return latent if mask is None else latent.masked_fill(~mask[:, None], 0.0)


def mean_over_cells(latent: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of each image's own cells, ``(B, D, *grid)`` to ``(B, D)``.

    Args:
        latent: ``(B, D, *grid)``.
        mask: which cells an image has, ``(B, *grid)`` bool; None: all.

    >>> import torch
    >>> latent, mask = torch.tensor([[[1.0, 3.0, 8.0]]]), torch.tensor([[True, True, False]])
    >>> mean_over_cells(latent, mask)
    tensor([[2.]])
    """
    if mask is None:
        return latent.flatten(2).mean(2)
    count = mask.flatten(1).sum(1, keepdim=True).clamp(min=1)
    return clear_padding(latent, mask).flatten(2).sum(2) / count
