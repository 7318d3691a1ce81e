"""Moves weights between nnU-Net's networks and a bundle's, whose arrays are mirrored: (x, y, z) for (z, y, x)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from monai_patchgrow.networks.nnunet.plain_names import plain_modules, why_not_plain
from monai_patchgrow.networks.nnunet.unets import is_nnunet_unet
from monai_patchgrow.networks.surgery.deep_supervision import DeepSupervision

__all__ = ["load_nnunet_weights", "mirrored", "nnunet_weights"]

_UP_BIAS = ".transp_conv.conv.bias"
_SEG_LAYERS = "decoder.seg_layers."
_OF_BATCH_NORM = ".running_mean"


def mirrored(weight: Tensor) -> Tensor:
    """A weight with its spatial axes in the opposite order; norms and biases, which have none, as they are.

    Its own inverse: from nnU-Net's axis order (z, y, x) to MONAI's (x, y, z), and back.

    >>> mirrored(torch.arange(6.0).view(1, 1, 1, 2, 3)).shape
    torch.Size([1, 1, 3, 2, 1])
    """
    return weight.permute(0, 1, *range(weight.ndim - 1, 1, -1)).contiguous() if weight.ndim > 2 else weight


def load_nnunet_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a bundle's network the weights of nnU-Net's own, which must be the same network.

    A network of nnU-Net's package takes all of them. A DynUNet takes those of a PlainConvUNet; biases of convolutions
    that a norm follows have no effect, and are left out.

    Args:
        network: a DynUNet, one of nnU-Net's U-Nets, or a :class:`monai_patchgrow.networks.DeepSupervision` of one,
            whose heads get theirs, too; changed in place.
        weights: ``network_weights`` of nnU-Net's checkpoint, spatial axes (z, y, x).

    Raises:
        ValueError: another network, in words that stand behind the file's name; nothing is changed then.
    """
    own = dict(network.named_parameters())
    theirs = _names(network)
    if isinstance(_plain(network), DynUNet):
        _check_plain(network, own, weights)
    if any(name.endswith(_OF_BATCH_NORM) for name in weights):
        raise ValueError("is of a network with batch norms, the one here has instance norms")
    taken = {name: weights.get(theirs[name]) for name in own}
    if missing := [name for name, weight in taken.items() if weight is None]:
        raise ValueError(
            f"is of another network: it has no {theirs[missing[0]]}, but {next(iter(weights), 'nothing')!r} and others"
        )
    # Heads of levels that the loss here doesn't count are nobody's.
    if more := {name for name in _modules(weights) - _modules(theirs.values()) if not name.startswith(_SEG_LAYERS)}:
        raise ValueError(
            f"is of another network: it has {min(more)}, which {type(_plain(network)).__name__} here lacks"
        )
    moved = {name: mirrored(weight) for name, weight in taken.items() if weight is not None}
    for name, weight in moved.items():
        if weight.shape != own[name].shape:
            raise ValueError(
                f"is of another network: its {theirs[name]} is {tuple(weight.shape)} in the order (x, y, z), here "
                f"{tuple(own[name].shape)}"
            )
    with torch.no_grad():
        for name, weight in moved.items():
            own[name].copy_(weight)


def nnunet_weights(network: nn.Module, plain: nn.Module | None = None) -> dict[str, Tensor]:
    """The weights of a bundle's network by nnU-Net's names and in its axis order, as its checkpoints hold them.

    Args:
        network: one of nnU-Net's U-Nets, or a DynUNet.
        plain: for a DynUNet, nnU-Net's PlainConvUNet of the same figures, its axes in nnU-Net's order; it is changed.
            Heads of coarser levels, which predictions don't need, are 0.

    Raises:
        ValueError: a DynUNet that is another network than a PlainConvUNet, or no such network at all.
    """
    if is_nnunet_unet(network):
        return {name: mirrored(weight).detach().clone() for name, weight in network.state_dict().items()}
    if not isinstance(network, DynUNet) or plain is None:
        raise ValueError(f"nnU-Net has no {type(network).__name__}")
    if why := why_not_plain(network):
        raise ValueError(f"the network is not nnU-Net's PlainConvUNet: {why}")
    theirs, names = dict(plain.named_parameters()), _names(network)
    with torch.no_grad():
        for weight in theirs.values():
            weight.zero_()
        for name, weight in network.named_parameters():
            theirs[names[name]].copy_(mirrored(weight))
    return {name: weight.detach().clone() for name, weight in plain.state_dict().items()}


def _plain(network: nn.Module) -> nn.Module:
    return network.network if isinstance(network, DeepSupervision) else network


def _names(network: nn.Module) -> dict[str, str]:
    """nnU-Net's name of each parameter of a network."""
    prefix = "network." if isinstance(network, DeepSupervision) else ""
    plain: Any = _plain(network)
    own = [name for name, _ in network.named_parameters()]
    if is_nnunet_unet(plain):
        return {name: name.removeprefix(prefix) for name in own}
    if not isinstance(plain, DynUNet):
        raise ValueError(f"is nnU-Net's, which has no {type(plain).__name__}")
    modules = plain_modules(len(plain.strides))
    found = {}
    for name in own:
        module, _, kind = name.removeprefix(prefix).rpartition(".")
        found[name] = f"{modules.get(module, module)}.{kind}"
    return found


def _check_plain(network: nn.Module, own: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    plain: Any = _plain(network)
    if why := why_not_plain(plain):
        raise ValueError(f"can't be taken over from nnU-Net: {why}")
    biases = [weights[name] for name in weights if name.startswith("decoder.transpconvs.") and name.endswith(".bias")]
    if any(bias.any() for bias in biases) and not any(name.endswith(_UP_BIAS) for name in own):
        raise ValueError(
            "has biases in its transposed convolutions, which this DynUNet lacks: give network_def "
            '"trans_bias": true in all configs'
        )


def _modules(names: Iterable[str]) -> set[str]:
    """The modules that weights belong to, each by the first of its names: blocks list theirs once more."""
    first = (name for name in names if ".all_modules." not in name and not name.startswith("decoder.encoder."))
    return {name.rpartition(".")[0] for name in first}
