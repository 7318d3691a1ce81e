"""The heads of PatchGD's paper, and the plainest one: what classifies an image from its whole latent grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from monai_patchgrow.networks.heads.grid_cells import clear_padding, mean_over_cells

__all__ = ["ConvHead"]

_KERNEL_SIZE = 3
_DROPOUT = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}


class ConvHead(nn.Module):
    """Convolutions over the latent grid, then one linear layer: the paper's head "original" by default.

    Each convolution is followed by ReLU, batch norm and dropout of whole channels. For a grid of 16 x 16 cells and 10
    classes it has 2 372 618 parameters. The paper's variants: ``num_same=0``; ``num_strided=4``; 128 or 512 channels.

    With ``pooled=True`` the mean over the cells takes the place of the flattened grid: the head takes grids of any
    size and, by a mask, images of different sizes in one batch. Cells that an image doesn't have are cleared before
    and after each convolution and don't count in the batch norm, so that an image's logits are those it has alone.
    Where no image lacks a cell it is quicker without the mask, and on a GPU waits for nothing.

    Nothing random is active with ``dropout=0``, which PatchGD's exact variant asks for.

    Source: Gupta et al., Patch Gradient Descent (arXiv 2301.13817), section 3, and the authors' code.

    Args:
        latent_dim: features per cell, D.
        num_outputs: logits, K: classes, thresholds between grades, or 1 for a regression.
        grid_shape: cells per axis; needed unless `pooled`.
        pooled: whether the cells are averaged instead of flattened.
        spatial_dims: axes of the grid, 1 to 3; where `grid_shape` is given, its own number.
        num_same: convolutions that keep the grid's size.
        num_strided: convolutions of stride 2 after them.
        channels: of every convolution.
        dropout: probability for each channel.
        norm: "batch", or "layer": over the channels of each cell, for batches of one image.

    Shape:
        ``(B, D, *grid)``, and ``(B, *grid)`` bool if `pooled`, to ``(B, K)``.

    Raises:
        ValueError: no `grid_shape` without `pooled`, a latent of another grid, or a batch norm of a single value.

    >>> head = ConvHead(64, 10, grid_shape=(16, 16), channels=32)
    >>> head(torch.rand(2, 64, 16, 16)).shape
    torch.Size([2, 10])
    >>> ConvHead(64, 10, pooled=True, channels=32)(torch.rand(2, 64, 5, 3)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        latent_dim: int,
        num_outputs: int,
        *,
        grid_shape: Sequence[int] | None = None,
        pooled: bool = False,
        spatial_dims: int = 2,
        num_same: int = 1,
        num_strided: int = 3,
        channels: int = 256,
        dropout: float = 0.2,
        norm: Literal["batch", "layer"] = "batch",
    ) -> None:
        super().__init__()
        if grid_shape is None and not pooled:
            raise ValueError("ConvHead needs grid_shape, the cells per axis, or pooled=True, which takes any grid")
        self.grid_shape = None if pooled or grid_shape is None else tuple(int(cells) for cells in grid_shape)
        self.takes_mask = pooled
        axes = spatial_dims if grid_shape is None else len(grid_shape)
        strides = [1] * num_same + [2] * num_strided
        widths = [latent_dim] + [channels] * len(strides)
        self.blocks = nn.ModuleList(
            _ConvBlock(axes, widths[i], channels, stride=stride, dropout=dropout, norm=norm)
            for i, stride in enumerate(strides)
        )
        cells = math.prod(_after(cells, num_strided) for cells in self.grid_shape or ())
        self.output = nn.Linear(widths[-1] * cells, num_outputs)

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``(B, K)``; `mask` is for a pooled head only."""
        if self.grid_shape not in (None, tuple(latent.shape[2:])):
            raise ValueError(
                f"this ConvHead was made for a grid of {self.grid_shape} cells, got {tuple(latent.shape[2:])}: "
                "pooled=True takes any grid"
            )
        if mask is not None and not self.takes_mask:
            raise ValueError("a ConvHead that flattens its grid can't leave cells out by a mask: pooled=True can")
        features = clear_padding(latent, mask)
        for block in self.blocks:
            features, mask = block(features, mask)
        return self.output(mean_over_cells(features, mask) if self.takes_mask else features.flatten(1))


class _ConvBlock(nn.Module):
    """Convolution, ReLU, norm, dropout; the mask follows the stride."""

    def __init__(self, axes: int, inputs: int, outputs: int, *, stride: int, dropout: float, norm: str) -> None:
        super().__init__()
        if norm not in ("batch", "layer"):
            raise ValueError(f'norm must be "batch" or "layer", got {norm!r}')
        self.stride = stride
        self.convolution = Conv[Conv.CONV, axes](inputs, outputs, _KERNEL_SIZE, stride=stride, padding=1)
        self.norm = Norm[Norm.BATCH, axes](outputs) if norm == "batch" else _CellNorm(outputs)
        self.dropout = _DROPOUT[axes](dropout)

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        features = self.convolution(features).relu()
        if mask is None:
            return self.dropout(self._normalised(features)), None
        mask = mask if self.stride == 1 else _coarser(mask)
        by_cell = features.movedim(1, -1)
        axes = by_cell.ndim - 2
        own = self._normalised(by_cell[mask].unflatten(1, (-1, *[1] * axes))).flatten(1)
        by_cell = own.new_zeros(by_cell.shape)
        by_cell[mask] = own
        return self.dropout(by_cell.movedim(-1, 1)), mask

    def _normalised(self, features: Tensor) -> Tensor:
        """Of ``(N, channels, *cells)``."""
        is_batch_norm = not isinstance(self.norm, _CellNorm)
        if is_batch_norm and self.norm.training and features.numel() == features.shape[1]:
            raise ValueError(
                "ConvHead's batch norm got one value per channel in training: take more images per batch, fewer "
                'strided convolutions, or norm="layer"'
            )
        return self.norm(features)


class _CellNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell, ``(N, channels, *cells)``."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def _after(cells: int, num_strided: int) -> int:
    """Cells that are left on an axis."""
    for _ in range(num_strided):
        cells = math.ceil(cells / 2)
    return cells


def _coarser(mask: Tensor) -> Tensor:
    """The mask after a stride of 2: a pair of cells counts where either does."""
    pool = (nn.functional.max_pool1d, nn.functional.max_pool2d, nn.functional.max_pool3d)[mask.ndim - 2]
    return pool(mask[:, None].to(torch.float32), 2, ceil_mode=True)[:, 0] > 0
