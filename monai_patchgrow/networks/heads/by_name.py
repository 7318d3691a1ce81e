"""PatchGD's heads by name, as a bundle's config asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from monai_patchgrow.networks.heads.conv import ConvHead
from monai_patchgrow.networks.heads.pooling import AttentionPoolingHead, MeanPoolingHead, SumPoolingHead

__all__ = ["FIXED_GRID", "HEADS", "classification_head"]

FIXED_GRID = "conv"
"""The name of the head that is made for one grid; all others take grids of any size."""

HEADS = (FIXED_GRID, "conv_pooled", "attention", "mean", "sum")
"""The names."""


def classification_head(
    name: str,
    *,
    latent_dim: int,
    num_outputs: int,
    grid_shape: Sequence[int] | None = None,
    spatial_dims: int = 2,
    **options: Any,
) -> nn.Module:
    """Build a head of the latent grid, ``(B, D, *grid)`` to ``(B, K)``.

    ===========  ==================================================  ===================
    name         what it is                                          grid
    ===========  ==================================================  ===================
    conv         :class:`ConvHead`, the paper's                      one, `grid_shape`
    conv_pooled  :class:`ConvHead`, its last cells averaged          any
    attention    :class:`AttentionPoolingHead`                       any
    mean         :class:`MeanPoolingHead`                            any
    sum          :class:`SumPoolingHead`, for counts and sums        any
    ===========  ==================================================  ===================

    Args:
        name: one of the table.
        latent_dim: features per cell, D.
        num_outputs: K.
        grid_shape: cells per axis, for "conv".
        spatial_dims: axes of the grid.
        options: further arguments of the head, such as ``dropout=0``.

    Raises:
        ValueError: an unknown name, or "conv" without a grid.

    >>> import torch
    >>> classification_head("attention", latent_dim=8, num_outputs=3)(torch.rand(2, 8, 5, 4)).shape
    torch.Size([2, 3])
    """
    if name == "attention":
        return AttentionPoolingHead(latent_dim, num_outputs, **options)
    if name == "mean":
        return MeanPoolingHead(latent_dim, num_outputs, **options)
    if name == "sum":
        return SumPoolingHead(latent_dim, num_outputs, **options)
    if name == "conv_pooled":
        return ConvHead(latent_dim, num_outputs, pooled=True, spatial_dims=spatial_dims, **options)
    if name == "conv":
        return ConvHead(latent_dim, num_outputs, grid_shape=grid_shape, spatial_dims=spatial_dims, **options)
    raise ValueError(f"head must be one of {', '.join(HEADS)}, got {name!r}")
