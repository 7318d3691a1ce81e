"""A small convolutional encoder, for training on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution
from torch import Tensor, nn

__all__ = ["SmallCNN"]

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
