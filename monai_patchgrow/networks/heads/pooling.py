"""A head that weighs an image's cells by attention: multiple instance learning on the latent grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_patchgrow.networks.heads.grid_cells import clear_padding, mean_over_cells

__all__ = ["AttentionPoolingHead", "MeanPoolingHead", "SumPoolingHead"]


class AttentionPoolingHead(nn.Module):
    """A linear layer on the attention-weighted mean of an image's cells, for grids of any size.

    A cell's weight is the softmax, over the cells that the image has, of ``w (tanh(V z) * sigmoid(U z))``. Order and
    place of the cells don't matter; cells that an image doesn't have never count.

    Source: Ilse et al., Attention-based Deep Multiple Instance Learning (ICML 2018, arXiv 1802.04712), equation 9;
    with ``gated=False`` equation 8.

    Args:
        latent_dim: features per cell, D.
        num_outputs: logits, K: classes, thresholds between grades, or 1 for a regression.
        hidden_dim: rows of V and U.
        gated: whether there is the sigmoid gate.
        dropout: probability for each feature of the pooled vector.

    Shape:
        ``(B, D, *grid)`` and ``(B, *grid)`` bool to ``(B, K)``.

    >>> head = AttentionPoolingHead(64, 10)
    >>> head(torch.rand(2, 64, 4, 5)).shape
    torch.Size([2, 10])
    >>> head.attention(torch.rand(2, 64, 4, 5)).shape
    torch.Size([2, 4, 5])
    """

    takes_mask = True

    def __init__(
        self, latent_dim: int, num_outputs: int, *, hidden_dim: int = 128, gated: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent_dim, hidden_dim)
        self.gate = nn.Linear(latent_dim, hidden_dim) if gated else None
        self.score = nn.Linear(hidden_dim, 1, bias=False)  # the softmax would take a bias out again
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(latent_dim, num_outputs)

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``(B, K)``."""
        cells = clear_padding(latent, mask).flatten(2)
        weights = self._weights(cells.mT, mask)
        pooled = torch.einsum("bdn,bn->bd", cells, weights)
        return self.output(self.dropout(pooled))

    def attention(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weight of each cell, ``(B, *grid)``: they add up to 1 in each image, and are 0 where it has no cell."""
        cells = clear_padding(latent, mask).flatten(2)
        return self._weights(cells.mT, mask).unflatten(1, latent.shape[2:])

    def _weights(self, cells: Tensor, mask: Tensor | None) -> Tensor:
        """Of ``(B, N, D)`` the weights ``(B, N)``."""
        hidden = torch.tanh(self.hidden(cells))
        if self.gate is not None:
            hidden = hidden * torch.sigmoid(self.gate(cells))
        score = self.score(hidden).squeeze(2)
        if mask is None:
            return score.softmax(1)
        # The lowest finite value instead of minus infinity: an image without any cell gives zeros, not NaN.
        own = mask.flatten(1)
        return score.masked_fill(~own, torch.finfo(score.dtype).min).softmax(1) * own


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


class MeanPoolingHead(nn.Module):
    """A linear layer on the mean of an image's cells; every cell's share of a logit can be read off.

    Args:
        latent_dim: features per cell, D.
        num_outputs: logits, K.

    Shape:
        ``(B, D, *grid)`` and ``(B, *grid)`` bool to ``(B, K)``.

    >>> MeanPoolingHead(4, 3)(torch.rand(2, 4, 5), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 3])
    """

    takes_mask = True

    def __init__(self, latent_dim: int, num_outputs: int) -> None:
        super().__init__()
        self.output = nn.Linear(latent_dim, num_outputs)

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``(B, K)``."""
        return self.output(mean_over_cells(latent, mask))
