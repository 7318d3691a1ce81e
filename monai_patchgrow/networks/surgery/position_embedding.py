"""Lets a UNETR take smaller patches than the one it was made for, by interpolating its position embedding."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from monai.networks.blocks import PatchEmbeddingBlock
from monai.networks.nets import UNETR
from torch import Tensor, nn

__all__ = ["AnyGridEmbedding", "allow_smaller_patches"]

_Network = TypeVar("_Network", bound=nn.Module)


class AnyGridEmbedding(PatchEmbeddingBlock):
    """Adds a position embedding interpolated to the grid of the patch at hand.

    Attributes:
        full_grid: tokens per axis of the patch that the network was made for.
        grid: tokens per axis of the patch at hand.
    """

    full_grid: tuple[int, ...]
    grid: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """The tokens ``(B, tokens, D)`` of an image ``(B, C, *spatial)``, with their embedding."""
        if self.grid == self.full_grid:
            return super().forward(x)
        tokens = self.patch_embeddings(x)
        if self.proj_type == "conv":
            tokens = tokens.flatten(2).transpose(-1, -2)
        embedding = _interpolate(self.position_embeddings, self.full_grid, self.grid)
        return self.dropout(tokens + embedding)


class _AnyPatchUNETR(UNETR):
    """Reads the grid of tokens from the patch at hand, instead of from ``img_size``."""

    def forward(self, x_in: Tensor) -> Tensor:
        size = tuple(x_in.shape[2:])
        largest = tuple(g * p for g, p in zip(self.feat_size, self.patch_size, strict=True))
        for edge, token, limit in zip(size, self.patch_size, largest, strict=True):
            if edge % token or not 0 < edge <= limit:
                raise ValueError(f"UNETR takes multiples of {self.patch_size} up to {largest}, got {size}")
        grid = tuple(edge // token for edge, token in zip(size, self.patch_size, strict=True))
        embedding: Any = self.vit.patch_embedding
        embedding.grid = grid
        self.proj_view_shape = [*grid, self.hidden_size]
        return super().forward(x_in)


def allow_smaller_patches(network: _Network) -> _Network:
    """Let a UNETR take every multiple of its token size (16 voxels) up to its ``img_size``; returns `network`.

    The learned position embedding of the full patch is interpolated linearly along each axis, as a ViT is usually fed
    another size (Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, section 3.2). Nothing outside of this
    network changes; parameters and their names stay, so a plain UNETR loads the weights, and at the full patch the
    output is the same to the bit. The network can be pickled and deep-copied. Any other network is returned as it is.

    Args:
        network: any module; a UNETR is changed in place.

    >>> network = UNETR(1, 2, img_size=32, feature_size=2, hidden_size=12, mlp_dim=8, num_heads=2)
    >>> allow_smaller_patches(network)(torch.rand(1, 1, 16, 32, 16)).shape
    torch.Size([1, 2, 16, 32, 16])
    """
    if type(network) is UNETR:
        embedding: Any = network.get_submodule("vit.patch_embedding")
        embedding.__class__ = AnyGridEmbedding
        embedding.full_grid = embedding.grid = network.feat_size
        network.__class__ = _AnyPatchUNETR
    return network


def _interpolate(embedding: Tensor, full_grid: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """(1, tokens of the full grid, D) to (1, tokens of the grid, D), linear along each axis.

    By one small matrix product per axis: torch's own trilinear interpolation has no deterministic gradient on CUDA.
    """
    field = embedding.unflatten(1, full_grid)
    for axis, (full, tokens) in enumerate(zip(full_grid, grid, strict=True), start=1):
        if tokens != full:
            identity = torch.eye(full, dtype=field.dtype, device=field.device)
            weights = nn.functional.interpolate(identity[None], size=tokens, mode="linear")[0]
            field = torch.tensordot(field, weights, dims=([axis], [0])).movedim(-1, axis)
    return field.flatten(1, -2)
