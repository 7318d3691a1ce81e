"""The patch sizes that follow from a network: its total stride, and where it needs more than that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex

from monai.networks.nets import UNETR, AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet
from monai.utils import ensure_tuple_rep
from torch import nn

from monai_patchgrow.internals.torch import BatchNorm, Convolution
from monai_patchgrow.networks.nnunet.unets import is_nnunet_unet
from monai_patchgrow.networks.surgery.deep_supervision import DeepSupervision
from monai_patchgrow.schedules.arguments import parse_sizes

__all__ = ["PatchRule", "patch_rule"]


@dataclass(frozen=True)
class PatchRule:
    """What a network asks of a patch; sizes are voxels per axis, in the axis order of the arrays (x, y, z).

    Attributes:
        total_stride: every size is a multiple of it, on every axis.
        smallest_patch: first patch, where the network takes none as small as its stride; None leaves it to the
            curriculum. Both go to :meth:`GrowthSchedule.plan`.
        full_patch: the one full patch that the network was made for; None: any.
    """

    total_stride: tuple[int, ...]
    smallest_patch: tuple[int, ...] | None = None
    full_patch: tuple[int, ...] | None = None


# Of each class the strides of its levels, each one number or one per axis. Their product is the total stride.
_STRIDES: Mapping[type[nn.Module], Callable[[Any], Iterable[Any]]] = {
    DynUNet: lambda network: network.strides,
    UNet: lambda network: network.strides[: len(network.channels) - 1],
    AttentionUnet: lambda network: network.strides[: len(network.channels) - 1],
    BasicUNet: lambda network: [2] * 4,
    SegResNet: lambda network: [2] * (len(network.blocks_down) - 1),
    UNETR: lambda network: [network.patch_size],
    SwinUNETR: lambda network: [network.patch_size] * 5,
}


def patch_rule(network: nn.Module, *, default: Iterable[SupportsIndex] | None = None) -> PatchRule:
    """Return the legal patch sizes of a network of MONAI or nnU-Net.

    ================================  ====================================================================
    DynUNet, UNet, AttentionUnet      the product of its strides
    nnU-Net's own U-Nets              the product of its strides
    BasicUNet                         16
    SegResNet                         2 per level below the first: 8 with the default ``blocks_down``
    UNETR                             16, its token; the full patch is its ``img_size``, and smaller ones need
                                      :func:`monai_patchgrow.networks.allow_smaller_patches`
    SwinUNETR                         32: tokens of 2 voxels, merged four times
    ================================  ====================================================================

    A single voxel is left at the bottleneck of a patch of one total stride: instance norms need
    :func:`monai_patchgrow.networks.allow_single_voxel`. Batch norms need more than one value per channel, so that
    a network with batch norms starts on two strides along axis 0.

    A SwinUNETR shrinks its window where the feature map is smaller; what its position biases learn there serves
    the full patch only with :func:`monai_patchgrow.networks.keep_window_offsets`.

    Args:
        network: a network, or a :class:`monai_patchgrow.networks.DeepSupervision` of one.
        default: total stride of a network that is none of these, voxels per axis.

    Raises:
        ValueError: a network that is none of these, and no `default`.

    >>> patch_rule(SegResNet(spatial_dims=2, init_filters=8)).total_stride
    (8, 8)
    """
    plain = network.network if isinstance(network, DeepSupervision) else network
    strides = _find_strides(plain)
    if strides is not None:
        axes = _count_axes(plain)
        by_axis = zip(*(ensure_tuple_rep(level, axes) for level in strides), strict=True)
        total_stride = tuple(math.prod(int(stride) for stride in axis) for axis in by_axis)
    elif default is not None:
        total_stride = parse_sizes(default, name="total_stride")
    else:
        known = ", ".join(kind.__name__ for kind in _STRIDES)
        name = type(plain).__name__
        raise ValueError(f"no patch sizes are known of {name}, only of {known}: give its total stride as default")
    smallest = (2 * total_stride[0], *total_stride[1:]) if _has_batch_norm(plain) else None
    return PatchRule(total_stride, smallest, _find_full_patch(plain))


def _find_strides(network: Any) -> Iterable[Any] | None:
    """The strides of a network's levels, where its kind is known."""
    if is_nnunet_unet(network):
        return list(network.encoder.strides)
    return next((levels(network) for kind, levels in _STRIDES.items() if isinstance(network, kind)), None)


def _count_axes(network: nn.Module) -> int:
    convolutions = (one for one in network.modules() if isinstance(one, Convolution))
    return len(next(convolutions).kernel_size)


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, BatchNorm) for module in network.modules())


def _find_full_patch(network: nn.Module) -> tuple[int, ...] | None:
    if not isinstance(network, UNETR):
        return None
    return tuple(grid * token for grid, token in zip(network.feat_size, network.patch_size, strict=True))
