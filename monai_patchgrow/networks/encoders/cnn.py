"""A small convolutional encoder without norms, for images that are mostly empty."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

__all__ = ["PlainCNN", "SmallCNN"]

_CHANNELS = (16, 32, 64, 64)
_FIRST_KERNEL, _KERNEL, _STRIDE = 5, 3, 2


class PlainCNN(nn.Module):
    """Convolutions of stride 2 with ReLU, their positions added up, then one linear layer; total stride 16.

    Without norms and with a sum an empty patch stays near 0 however many there are: on images of a few small objects
    it learns from far fewer images than :class:`SmallCNN`, whose group norms make noise of emptiness as large as what
    an object gives.

    With ``padded=False`` a position sees voxels of its patch alone. Patches that overlap by `overlap` voxels then have
    each position of the image once, and the sum over the patches (head ``sum``) is that of one convolution over the
    whole image: an object on the border of a patch is counted once, and seen whole.

    Args:
        in_channels: of a patch, C.
        latent_dim: features of a patch, D.
        spatial_dims: axes of a patch, 1 to 3.
        channels: of each convolution.
        kernel_sizes: of each convolution, voxels; default 5, then 3.
        strides: of each convolution; default 2.
        padded: whether convolutions pad by half of their kernel.
        gated: whether features are multiplied by a gate from 0 to 1, a convolution of kernel 1 and a sigmoid, before
            they are added up: a detector beside what is counted.

    Attributes:
        overlap: without padding, voxels per axis that neighbouring patches must share: the field of view less the total
            stride. With padding 0.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``.

    Raises:
        ValueError: `kernel_sizes` or `strides` of another length than `channels`.

    >>> import torch
    >>> PlainCNN(1, 64)(torch.rand(5, 1, 32, 32)).shape
    torch.Size([5, 64])
    >>> PlainCNN(1, 8, channels=(8, 8), kernel_sizes=(4, 3), padded=False).overlap
    4
    """

    def __init__(
        self,
        in_channels: int,
        latent_dim: int,
        *,
        spatial_dims: int = 2,
        channels: Sequence[int] = _CHANNELS,
        kernel_sizes: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        padded: bool = True,
        gated: bool = False,
    ) -> None:
        super().__init__()
        kernels = tuple(kernel_sizes or (_FIRST_KERNEL, *[_KERNEL] * (len(channels) - 1)))
        steps = tuple(strides or [_STRIDE] * len(channels))
        if not len(kernels) == len(steps) == len(channels):
            raise ValueError(
                f"kernel_sizes and strides of PlainCNN must have {len(channels)} numbers, as channels has, got "
                f"{list(kernels)} and {list(steps)}"
            )
        convolve = Conv[Conv.CONV, spatial_dims]
        layers: list[nn.Module] = []
        for inputs, outputs, kernel, step in zip([in_channels, *channels[:-1]], channels, kernels, steps, strict=True):
            convolution = convolve(inputs, outputs, kernel, stride=step, padding=kernel // 2 if padded else 0)
            nn.init.kaiming_normal_(convolution.weight)
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
        self.overlap = 0 if padded else _field(kernels, steps) - math.prod(steps)
        self.features = nn.Sequential(*layers)
        self.gate = nn.Sequential(convolve(channels[-1], channels[-1], 1), nn.Sigmoid()) if gated else None
        self.output = nn.Linear(channels[-1], latent_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        features = self.features(patches)
        if self.gate is not None:
            features = features * self.gate(features)
        features = features.flatten(2)
        return self.output(features.sum(2) / math.sqrt(features.shape[2]))


def _field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Voxels per axis that one position after all convolutions sees.

    >>> _field((4, 3), (2, 2))
    8
    """
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * step
        step *= stride
    return field


_CHANNELS = (16, 32, 64, 128)
_GROUPS = 8


class SmallCNN(nn.Module):
    """Four 3x3 convolutions of stride 2, each with group norm and ReLU, then the mean and one linear layer.

    Group norm makes a patch's latent its own: it doesn't depend on the patches that share its chunk. With one
    channel, 64 features and in 2-D it has 105 648 parameters.

    Args:
        in_channels: of a patch, C.
        latent_dim: features of a patch, D.
        spatial_dims: axes of a patch, 1 to 3.
        channels: of each convolution, multiples of 8; their number is that of the strides.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``.

    >>> import torch
    >>> SmallCNN(1, 64)(torch.rand(5, 1, 32, 32)).shape
    torch.Size([5, 64])
    """

    def __init__(
        self, in_channels: int, latent_dim: int, *, spatial_dims: int = 2, channels: Sequence[int] = _CHANNELS
    ) -> None:
        super().__init__()
        if wrong := [width for width in channels if width % _GROUPS]:
            raise ValueError(f"channels of SmallCNN must be multiples of {_GROUPS}, got {wrong[0]}")
        self.features = nn.Sequential(
            *(
                Convolution(
                    spatial_dims,
                    inputs,
                    outputs,
                    strides=2,
                    adn_ordering="NA",
                    act="RELU",
                    norm=("group", {"num_groups": _GROUPS}),
                    bias=False,
                )
                for inputs, outputs in zip([in_channels, *channels[:-1]], channels, strict=True)
            )
        )
        self.output = nn.Linear(channels[-1], latent_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        return self.output(self.features(patches).flatten(2).mean(2))
