"""Lets the instance norms of one network accept a single voxel, as a U-Net's bottleneck has on its first patch."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from .torch_internals import InstanceNorm, check_input_dim

__all__ = ["allow_single_voxel"]

_Network = TypeVar("_Network", bound=nn.Module)


class _SingleVoxelNorm(InstanceNorm):
    """Calls the norm without torch's check that there is more than one spatial element.

    Of one voxel the mean is itself and the variance 0, so the output is the norm's bias; everywhere else it is
    the same to the bit.
    """

    def forward(self, x: Tensor) -> Tensor:
        check_input_dim(self, x)
        if self.affine and x[0, 0].numel() == 1:
            # torch would add the rounding error of x - mean, enlarged by 1 / sqrt(eps), around an activation's kink.
            channels = (-1, *[1] * (x.ndim - 2))
            return (x - x) * self.weight.view(channels) + self.bias.view(channels)
        return torch.instance_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
            torch.backends.cudnn.enabled,
        )


class _SingleVoxelNorm1d(_SingleVoxelNorm, nn.InstanceNorm1d):
    pass


class _SingleVoxelNorm2d(_SingleVoxelNorm, nn.InstanceNorm2d):
    pass


class _SingleVoxelNorm3d(_SingleVoxelNorm, nn.InstanceNorm3d):
    pass


_SWAPS: dict[type, type] = {
    nn.InstanceNorm1d: _SingleVoxelNorm1d,
    nn.InstanceNorm2d: _SingleVoxelNorm2d,
    nn.InstanceNorm3d: _SingleVoxelNorm3d,
}


def allow_single_voxel(network: _Network) -> _Network:
    """Swap the class of the network's instance norms for one that accepts a single voxel; returns `network`.

    Nothing outside of this network changes; parameters, their names and (for more than one voxel) the output
    stay the same, and the network can be pickled and deep-copied.

    Args:
        network: any module; changed in place.

    >>> network = allow_single_voxel(nn.Sequential(nn.InstanceNorm3d(2, affine=True)))
    >>> network(torch.ones(1, 2, 1, 1, 1)).flatten().tolist()
    [0.0, 0.0]
    """
    for module in network.modules():
        module.__class__ = _SWAPS.get(type(module), type(module))
    return network
