"""Floor 1: the only mutable things, shared between the trainer and its loader workers."""

from monai_patchgrow.state.latent_grid import LatentGrid
from monai_patchgrow.state.patch_size import PatchCount, PatchSize

__all__ = ["LatentGrid", "PatchCount", "PatchSize"]
