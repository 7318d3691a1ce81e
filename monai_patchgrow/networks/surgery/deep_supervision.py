"""Deep supervision around a DynUNet or one of nnU-Net's U-Nets, whose own weights stay those of the plain network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.networks.blocks import UnetOutBlock
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from monai_patchgrow.networks.nnunet.unets import is_nnunet_unet

__all__ = ["DeepSupervision"]

_PREFIX = "network."  # left out of the weights' names
_HEADS = "heads."


class DeepSupervision(nn.Module):
    """Trains the coarser decoder levels of a U-Net by heads of their own, as nnU-Net does.

    In training it returns logits per level, finest first, each at its own resolution, for
    ``monai.losses.DeepSupervisionLoss``; in evaluation the plain network's output. MONAI's own
    ``deep_supervision=True`` enlarges every level to full resolution and cannot be exported to TorchScript;
    here the inner network is a plain one, and its ``state_dict`` all that inference needs.

    A DynUNet gets heads. This module's own ``state_dict`` has the plain network's names, and the heads' behind them as
    ``heads.*``. So weights go from one to the other as they are: the plain network's are loaded here with
    ``strict=False``. nnU-Net's U-Nets have heads on all levels, which are used here; the two have the same names. Those
    that the loss doesn't count are not trained.

    Source: Isensee et al., nnU-Net (Nature Methods 2021), online methods, "Network architecture".

    Args:
        network: a DynUNet, or a PlainConvUNet or ResidualEncoderUNet of dynamic_network_architectures, made with
            ``deep_supervision=False``.
        num_heads: coarser levels that get a head (nnU-Net: all decoder levels but the lowest one and the finest).

    Shape:
        input ``(B, C, X, Y, Z)``; output in training: a list of ``(B, K, X / s, Y / s, Z / s)`` with the stride
        ``s`` of each level; in evaluation ``(B, K, X, Y, Z)``.

    Raises:
        ValueError: a network with deep supervision of its own, or more heads than decoder levels.
    """

    def __init__(self, network: nn.Module, num_heads: int = 1) -> None:
        super().__init__()
        unet: Any = network
        self.has_own_heads = is_nnunet_unet(network)
        decoder = unet.decoder if self.has_own_heads else unet
        blocks = decoder.stages if self.has_own_heads else decoder.upsamples
        if decoder.deep_supervision:
            raise ValueError(f"DeepSupervision needs a {type(network).__name__} made with deep_supervision=False")
        if not 0 <= num_heads < len(blocks):
            raise ValueError(f"num_heads must be between 0 and {len(blocks) - 1} for this network, got {num_heads}")
        self.network = unet
        self.num_heads = num_heads
        self.heads = nn.ModuleList([] if self.has_own_heads else _new_heads(unet, num_heads))
        self._features: dict[int, Tensor] = {}
        for level in range(1, num_heads + 1):
            blocks[-1 - level].register_forward_hook(_Keep(self._features, level))
        if self.has_own_heads:
            for head in decoder.seg_layers[: -1 - num_heads]:
                head.requires_grad_(False)  # distributed training waits for the gradient of all others
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits per level in training, of the plain network in evaluation."""
        logits = self.network(x)
        if not self.training:
            self._features.clear()
            return logits
        levels = range(1, self.num_heads + 1)
        return [logits, *(self._head(level)(self._features.pop(level)) for level in levels)]

    def _head(self, level: int) -> nn.Module:
        return self.network.decoder.seg_layers[-1 - level] if self.has_own_heads else self.heads[level - 1]


def _new_heads(network: DynUNet, num_heads: int) -> list[nn.Module]:
    heads = [
        UnetOutBlock(network.spatial_dims, network.filters[level], network.out_channels)
        for level in range(1, num_heads + 1)
    ]
    return [head.apply(DynUNet.initialize_weights) for head in heads]


class _Keep:
    """A forward hook that keeps the module's output."""

    def __init__(self, features: dict[int, Tensor], level: int) -> None:
        self.features = features
        self.level = level

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.features[self.level] = output


def _drop_prefix(module: nn.Module, state_dict: Any, prefix: str, local_metadata: Any) -> None:
    _rename(state_dict, prefix, lambda name: name.removeprefix(_PREFIX))


def _add_prefix(module: nn.Module, state_dict: Any, prefix: str, *_: Any) -> None:
    _rename(state_dict, prefix, lambda name: name if name.startswith(_HEADS) else _PREFIX + name)


def _rename(state_dict: dict[str, Any], prefix: str, new_name: Callable[[str], str]) -> None:
    """Rename the entries under a prefix in place, in their order."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[prefix + new_name(key.removeprefix(prefix))] = state_dict.pop(key)
