"""nnU-Net's own U-Nets, of the package dynamic_network_architectures: which networks they are, and how they start.

The package is optional, and is never imported here: where nothing has imported it, no network is one of its own.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

__all__ = ["initialise", "is_nnunet_unet"]

_MODULE = "dynamic_network_architectures.architectures.unet"
_CLASSES = ("PlainConvUNet", "ResidualEncoderUNet")


def is_nnunet_unet(network: nn.Module) -> bool:
    """Whether a network is a PlainConvUNet or a ResidualEncoderUNet of dynamic_network_architectures.

    >>> is_nnunet_unet(nn.Identity())
    False
    """
    module = sys.modules.get(_MODULE)
    return module is not None and isinstance(network, tuple(getattr(module, name) for name in _CLASSES))


def initialise(network: nn.Module) -> None:
    """Give one of nnU-Net's U-Nets the weights that nnU-Net's trainer starts from; any other network stays as it is.

    The convolutions get He's initialisation; the last norm of each residual block gets 0, so that the block begins as
    its skip. Source: nnU-Net v2's trainer, which applies the network's own ``initialize``; other networks do so when
    they are made.

    Args:
        network: changed in place.
    """
    if is_nnunet_unet(network):
        unet: Any = network
        unet.apply(unet.initialize)
