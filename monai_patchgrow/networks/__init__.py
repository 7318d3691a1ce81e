"""Floor 2: what a network needs to be trained on small patches."""

from monai_patchgrow.networks.deep_supervision import DeepSupervision
from monai_patchgrow.networks.single_voxel_norm import allow_single_voxel

__all__ = ["DeepSupervision", "allow_single_voxel"]
