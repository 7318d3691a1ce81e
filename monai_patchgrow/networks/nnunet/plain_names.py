"""Which weight of nnU-Net's PlainConvUNet is which of MONAI's DynUNet, and where the two are one network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monai.networks.blocks import UnetResBlock
from monai.utils import ensure_tuple_rep
from torch import nn

from monai_patchgrow.internals.torch import InstanceNorm

__all__ = ["plain_modules", "why_not_plain"]

_EPS, _SLOPE = 1e-5, 0.01  # of nnU-Net's norms and activations
_STEEPEST = 2  # stride of a level, up to which both networks pad alike


def plain_modules(num_levels: int) -> dict[str, str]:
    """PlainConvUNet's name of each of DynUNet's modules that has weights, and of the heads of a `DeepSupervision`.

    Args:
        num_levels: of the network.

    >>> names = plain_modules(3)
    >>> names["bottleneck.conv2.conv"], names["output_block.conv.conv"]
    ('encoder.stages.2.0.convs.1.conv', 'decoder.seg_layers.1')
    """
    return dict(_modules(num_levels))


def _modules(num_levels: int) -> Iterator[tuple[str, str]]:
    downwards = ["input_block", *(f"downsamples.{number}" for number in range(num_levels - 2)), "bottleneck"]
    for level, block in enumerate(downwards):
        yield from _block(block, f"encoder.stages.{level}.0")
    finest = num_levels - 2  # of the decoder's stages, which are numbered from the bottleneck up
    for stage in range(finest + 1):
        yield f"upsamples.{stage}.transp_conv.conv", f"decoder.transpconvs.{stage}"
        yield from _block(f"upsamples.{stage}.conv_block", f"decoder.stages.{stage}")
    yield "output_block.conv.conv", f"decoder.seg_layers.{finest}"
    for head in range(finest):
        yield f"heads.{head}.conv.conv", f"decoder.seg_layers.{finest - 1 - head}"


def _block(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for number in range(2):
        yield f"{ours}.conv{number + 1}.conv", f"{theirs}.convs.{number}.conv"
        yield f"{ours}.norm{number + 1}", f"{theirs}.convs.{number}.norm"


def why_not_plain(network: Any) -> str | None:
    """Why a DynUNet is another network than nnU-Net's PlainConvUNet of the same figures; None where it is the same.

    Both are the same function but for the biases of convolutions that an instance norm follows, which DynUNet lacks
    and which have no effect.

    Args:
        network: a DynUNet without deep supervision of its own.
    """
    unet: Any = network
    axes = unet.spatial_dims
    kernels, strides, up_kernels = (
        [ensure_tuple_rep(level, axes) for level in levels]
        for levels in (unet.kernel_size, unet.strides, unet.upsample_kernel_size)
    )
    if unet.conv_block is UnetResBlock:
        return "its blocks are residual"
    if len(set(kernels)) > 1:
        return (
            f"its kernels differ between levels ({_shown(kernels)}), and on the way up DynUNet takes the kernel of the "
            "level below, PlainConvUNet that of the level itself"
        )
    if any(stride > _STEEPEST for level in strides for stride in level):
        return f"it has strides above {_STEEPEST} ({_shown(strides)}), at which DynUNet pads less"
    if up_kernels != strides[1:]:
        return "its transposed convolutions have other kernels than strides"
    if unet.dropout or not _has_own_parts(unet):
        return "it has other norms or activations than nnU-Net's, or dropout"
    return None


def _has_own_parts(unet: Any) -> bool:
    norm, activation = unet.input_block.norm1, unet.input_block.lrelu
    is_norm = isinstance(norm, InstanceNorm) and norm.affine and norm.eps == _EPS
    return is_norm and isinstance(activation, nn.LeakyReLU) and activation.negative_slope == _SLOPE


def _shown(levels: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, level)) for level in levels)
