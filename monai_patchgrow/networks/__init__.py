"""Floor 2: what a network needs to be trained on small patches."""

from monai_patchgrow.networks.check import check_network
from monai_patchgrow.networks.deep_supervision import DeepSupervision
from monai_patchgrow.networks.patch_rule import PatchRule, patch_rule
from monai_patchgrow.networks.position_embedding import allow_smaller_patches
from monai_patchgrow.networks.single_voxel_norm import allow_single_voxel
from monai_patchgrow.networks.training import training_network
from monai_patchgrow.networks.window_offsets import keep_window_offsets

__all__ = [
    "DeepSupervision",
    "PatchRule",
    "allow_single_voxel",
    "allow_smaller_patches",
    "check_network",
    "keep_window_offsets",
    "patch_rule",
    "training_network",
]
