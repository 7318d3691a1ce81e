"""A network as it is trained on growing patches, around the weights of the plain one."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import DynUNet
from torch import nn

from monai_patchgrow.networks.nnunet.unets import is_nnunet_unet
from monai_patchgrow.networks.surgery.deep_supervision import DeepSupervision
from monai_patchgrow.networks.surgery.position_embedding import allow_smaller_patches
from monai_patchgrow.networks.surgery.single_voxel_norm import allow_single_voxel
from monai_patchgrow.networks.surgery.window_offsets import keep_window_offsets

__all__ = ["training_network"]


def training_network(network: nn.Module, *, num_heads: int = 0, patch_size: Sequence[int] | None = None) -> nn.Module:
    """Make a network ready for small patches, a DynUNet and nnU-Net's own U-Nets also for deep supervision.

    Args:
        network: the network that inference uses. It is changed in place, but for the names of its parameters and
            its output at the full patch.
        num_heads: coarser levels that are trained by a head, of a DynUNet or one of nnU-Net's U-Nets; any other network
            is trained on its one output.
        patch_size: full patch, voxels per axis; a SwinUNETR's position biases are then kept to their offsets.

    Returns:
        `network`, or a :class:`DeepSupervision` of it; the weights of both have the same names.

    Raises:
        ValueError: as :class:`DeepSupervision`'s.
    """
    prepared = allow_smaller_patches(allow_single_voxel(network))
    if patch_size is not None:
        keep_window_offsets(prepared, patch_size=patch_size)
    if is_nnunet_unet(prepared) or (isinstance(prepared, DynUNet) and num_heads):
        return DeepSupervision(prepared, num_heads)
    return prepared
