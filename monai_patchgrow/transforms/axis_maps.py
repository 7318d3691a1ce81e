"""Linear maps along the axes of patches: blur and the loss of resolution, each row of a batch by its own matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["SMALLEST_DIVISOR", "blur_matrices", "coarsening_matrices", "map_axes"]

SMALLEST_DIVISOR = 1e-7
"""What keeps a division by a width or deviation of 0 finite."""

_KERNEL_SIGMAS = 6  # width of nnU-Net's blur kernel


def map_axes(make: Callable[[Tensor, int], Tensor], spatial: Sequence[int], rows: Tensor, values: Tensor) -> Tensor:
    """Multiply each axis of each row by a matrix of its own.

    Args:
        make: ``(R, L, L)`` matrices from values ``(R, 1, 1)`` and an axis' length L in voxels.
        spatial: voxels per axis.
        rows: ``(R, voxels)``, in C order.
        values: ``(R, axes)``.

    Returns:
        As `rows`.

    >>> map_axes(coarsening_matrices, (4,), torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([[0.5]]))
    tensor([[1.0000, 1.5000, 2.5000, 3.0000]])
    """
    # Products of matrices rather than convolutions: each row has a matrix of its own, and one `bmm` serves them all.
    # Each product puts its axis in front of the others: after the last one they stand in order again.
    columns = values.unbind(1)
    matrices: dict[int, Tensor] = {}
    # Axes of one length share what makes their matrices: for the smallest patches that is what takes the time.
    for length in set(spatial):
        axes = [axis for axis, voxels in enumerate(spatial) if voxels == length]
        made = make(torch.cat([columns[axis] for axis in axes])[:, None, None], length)
        matrices |= dict(zip(axes, made.split(len(rows)), strict=True))
    for axis in reversed(range(len(spatial))):
        rows = torch.bmm(matrices[axis], rows.reshape(len(rows), -1, spatial[axis]).mT)
    return rows.reshape(len(rows), -1)


def blur_matrices(sigma: Tensor, length: int) -> Tensor:
    """Gaussian weights ``(R, L, L)``, reflected at the borders; cut to what can be reflected on a short axis.

    Args:
        sigma: voxels, ``(R, 1, 1)``.
        length: voxels of the axis.
    """
    # nnU-Net's kernel reaches this far; one reflection can bring back no more than the axis is long, less one.
    radius = ((_KERNEL_SIGMAS * sigma + 0.5) / 2).floor().clamp(max=length - 1)
    # Weights on an axis that is three times as long ...
    positions = torch.arange(1 - length, 2 * length - 1, device=sigma.device)
    distance = positions - positions[length - 1 : 2 * length - 1, None]
    # A sigma of 0 would divide 0 by 0 on the diagonal; a tiny one leaves the voxel as it is.
    weights = torch.exp(-0.5 * (distance / sigma.clamp(min=SMALLEST_DIVISOR)) ** 2) * (distance.abs() <= radius)
    # ... whose outer thirds fold back about the first and the last voxel, which are not doubled ("reflect", as scipy's
    # "mirror"): hence the padding by one.
    before, inside, behind = weights.split([length - 1, length, length - 1], dim=2)
    matrices = inside + pad(before.flip(2), (1, 0)) + pad(behind.flip(2), (0, 1))
    return matrices / matrices.sum(2, keepdim=True)


def coarsening_matrices(zoom: Tensor, length: int) -> Tensor:
    """Sampling as by ``interpolate``, ``(R, L, L)``: nearest-exact down to a share of the voxels, then linear up.

    Args:
        zoom: share of the voxels, ``(R, 1, 1)``.
        length: voxels of the axis.
    """
    voxels = torch.arange(length, device=zoom.device)
    kept = (zoom * length).round().clamp(min=1)
    # Where a voxel lies on the coarse axis, by voxel centres (`align_corners=False`).
    position = ((voxels[:, None] + 0.5) * (kept / length) - 0.5).clamp(min=0)
    lower = position.floor()
    neighbours = torch.stack([lower, torch.minimum(lower + 1, kept - 1)])
    # A tensor by a tensor is rounded as in interpolate; `length / kept` picks another voxel for some sizes.
    # A coarse voxel is the one fine voxel nearest to it, so each of its two matrices is a mask of ones.
    below, above = (((neighbours + 0.5) * (torch.full_like(kept, length) / kept)).floor() == voxels).float()
    return torch.lerp(below, above, position - lower)
