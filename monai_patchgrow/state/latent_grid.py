"""PatchGD's Z: one latent vector for each patch cell of each image of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["LatentGrid", "Places", "join_masks"]

Places: TypeAlias = tuple[Tensor, Tensor]
"""Where latent vectors belong: the number of the image and that of the row-major cell, ``(N,)`` int64 each."""


class LatentGrid:
    """The latent grid Z of a batch of images, written a few cells at a time.

    Images of different sizes share the largest grid: an image's cell ``(i, j)`` stays at ``(i, j)``, and the cells that
    it doesn't have are 0 and out of its mask.

    Args:
        mask: the cells that each image has, ``(B, *grid)`` bool.
        latent_dim: features per cell, D.
        dtype: of Z.
        device: of Z and `mask` (default: the mask's own).

    Attributes:
        values: ``(B, D, cells)``; `z` is a view of them.
        is_whole: whether every image has every cell; of a mask on the CPU it is known without waiting for a GPU.
        mask: as given, or as `keep` has narrowed it.

    Raises:
        ValueError: a mask that is no bool tensor with a grid.

    >>> latent = LatentGrid(torch.ones(1, 2, 3, dtype=torch.bool), latent_dim=1)
    >>> latent.write((torch.tensor([0, 0]), torch.tensor([5, 1])), torch.tensor([[1.0], [2.0]]))
    >>> latent.z.tolist()
    [[[[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]]]
    """

    def __init__(
        self,
        mask: Tensor,
        *,
        latent_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        if mask.dtype != torch.bool or mask.ndim < 2:
            raise ValueError(f"mask must be a bool tensor (B, *grid), got {tuple(mask.shape)} of {mask.dtype}")
        self.is_whole = bool(mask.all())
        self.mask = mask.to(device)
        cells = math.prod(mask.shape[1:])
        self.values = torch.zeros(len(mask), latent_dim, cells, dtype=dtype, device=self.mask.device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells per axis."""
        return tuple(self.mask.shape[1:])

    @property
    def z(self) -> Tensor:
        """Z, ``(B, D, *grid)``."""
        return self.values.unflatten(2, self.shape)

    def write(self, places: Places, latents: Tensor) -> None:
        """Write latent vectors ``(N, D)`` into their cells, gradients included."""
        images, cells = places
        self.values[images, :, cells] = latents.to(self.values.dtype)

    def keep(self, mask: Tensor) -> None:
        """Leave cells out: from now on each image has those of a mask ``(B, *grid)`` alone."""
        self.is_whole = bool(mask.all())
        self.mask = mask.to(self.mask.device)

    def detach(self) -> None:
        """Forget how the values came about; they stay where they are in memory."""
        self.values = self.values.detach()

    def require_gradient(self) -> Tensor:
        """Make the values a leaf whose ``.grad`` a backward pass fills, and return them, ``(B, D, cells)``."""
        self.values = self.values.detach().requires_grad_()
        return self.values


def join_masks(shapes: Sequence[Sequence[int]]) -> Tensor:
    """The mask of images of given grids in the largest one, ``(B, *grid)`` bool.

    >>> join_masks([(1, 2), (2, 1)]).tolist()
    [[[True, True], [False, False]], [[True, False], [True, False]]]
    """
    mask = torch.zeros(len(shapes), *map(max, zip(*shapes, strict=True)), dtype=torch.bool)
    for own, shape in zip(mask, shapes, strict=True):
        own[tuple(map(slice, shape))] = True
    return mask
