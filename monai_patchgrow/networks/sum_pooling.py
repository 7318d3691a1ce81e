"""A head that adds up an image's cells, for counts and sums."""

from __future__ import annotations

from torch import Tensor, nn

from monai_patchgrow.networks.grid_cells import clear_padding

__all__ = ["SumPoolingHead"]


class SumPoolingHead(nn.Module):
    """A linear layer on the sum of an image's cells: what two cells hold counts twice as much as what one holds.

    A mean would make a logit of the same objects smaller the larger the image is. Every cell's share of a logit can be
    read off.

    Args:
        latent_dim: features per cell, D.
        num_outputs: logits, K.
        scale: what the sum is multiplied by, so that logits start near 0.

    Shape:
        ``(B, D, *grid)`` and ``(B, *grid)`` bool to ``(B, K)``.

    >>> import torch
    >>> SumPoolingHead(4, 3)(torch.rand(2, 4, 5), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 3])
    """

    takes_mask = True

    def __init__(self, latent_dim: int, num_outputs: int, *, scale: float = 0.25) -> None:
        super().__init__()
        self.scale = scale
        self.output = nn.Linear(latent_dim, num_outputs)

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``(B, K)``."""
        return self.output(clear_padding(latent, mask).flatten(2).sum(2) * self.scale)
