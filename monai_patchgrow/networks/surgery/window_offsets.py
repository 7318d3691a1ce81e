"""Lets a SwinUNETR's relative position biases mean the same offsets in small patches as in the full one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformerBlock, WindowAttention, get_window_size
from torch import Tensor, nn

__all__ = ["keep_window_offsets"]

_Network = TypeVar("_Network", bound=nn.Module)


class _Attention(WindowAttention):
    """Looks up the biases of a small window as those of one corner of the full patch's window.

    Attributes:
        full_window: positions per axis of the window in the full patch.
        window: positions per axis of the window at hand.
    """

    full_window: tuple[int, ...]
    window: tuple[int, ...]

    @property
    def relative_position_index(self) -> Tensor:
        """Entry of the bias table per pair of positions; the buffer of that name stays as it is."""
        index = dict(self.named_buffers(recurse=False))["relative_position_index"]
        if any(edge > full for edge, full in zip(self.window, self.full_window, strict=True)):
            return index
        positions = torch.arange(math.prod(self.full_window), device=index.device).view(self.full_window)
        corner = positions[tuple(slice(edge) for edge in self.window)].flatten()
        return index[corner][:, corner]


class _Block(SwinTransformerBlock):
    def forward(self, x: Tensor, mask_matrix: Tensor | None) -> Tensor:
        attention: Any = self.attn
        attention.window = get_window_size(x.shape[1:-1], self.window_size)
        return super().forward(x, mask_matrix)


def keep_window_offsets(network: _Network, *, patch_size: Sequence[int]) -> _Network:
    """Let a SwinUNETR that is trained on small patches learn biases that the full patch can use; returns `network`.

    On a feature map below its window, MONAI's Swin (1.6.1) shrinks the window to the map, and takes the first rows
    and columns of the full window's index for its position biases: entries of other offsets than in a larger map
    (of a map of 4x4x4 in a window of 7x7x7, 95 of 100). Here it takes those of one corner of the window that the
    same level has at the full patch, so that an entry stays with its offset while the patch grows. At the full patch
    and above, the output is the plain network's to the bit; parameters, buffers and their names stay, and the network
    can be pickled and deep-copied. Any other network is returned as it is.

    Args:
        network: any module; a SwinUNETR is changed in place.
        patch_size: full patch, voxels per axis.

    >>> network = keep_window_offsets(SwinUNETR(1, 2, feature_size=12, spatial_dims=2), patch_size=(224, 224))
    >>> network(torch.rand(1, 1, 32, 64)).shape
    torch.Size([1, 2, 32, 64])
    """
    if type(network) is not SwinUNETR:
        return network
    layers = [layer for layer in network.modules() if isinstance(layer, BasicLayer)]
    for level, layer in enumerate(layers):
        feature_map = [edge // (network.patch_size * 2**level) for edge in patch_size]
        window = get_window_size(feature_map, layer.window_size)
        for block in layer.blocks:
            if type(block) is SwinTransformerBlock:
                attention: Any = block.attn
                attention.full_window = attention.window = window
                attention.__class__, block.__class__ = _Attention, _Block
    return network
