"""A small convolutional encoder without norms, for images that are mostly empty."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

__all__ = ["PlainCNN", "SmallCNN"]

_CHANNELS = (16, 32, 64, 64)


class PlainCNN(nn.Module):
    """Convolutions of stride 2 with ReLU, their positions added up, then one linear layer; total stride 16.

    Without norms and with a sum an empty patch stays near 0 however many there are: on images of a few small objects
    it learns from far fewer images than :class:`SmallCNN`, whose group norms make noise of emptiness as large as what
    an object gives.

    Args:
        in_channels: of a patch, C.
        latent_dim: features of a patch, D.
        spatial_dims: axes of a patch, 1 to 3.
        channels: of each convolution; their number is that of the strides.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``.

    >>> import torch
    >>> PlainCNN(1, 64)(torch.rand(5, 1, 32, 32)).shape
    torch.Size([5, 64])
    """

    def __init__(
        self, in_channels: int, latent_dim: int, *, spatial_dims: int = 2, channels: Sequence[int] = _CHANNELS
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip([in_channels, *channels[:-1]], channels, strict=True)):
            kernel = 3 if number else 5
            convolution = Conv[Conv.CONV, spatial_dims](inputs, outputs, kernel, stride=2, padding=kernel // 2)
            nn.init.kaiming_normal_(convolution.weight)
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.output = nn.Linear(channels[-1], latent_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        features = self.features(patches).flatten(2)
        return self.output(features.sum(2) / math.sqrt(features.shape[2]))


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
