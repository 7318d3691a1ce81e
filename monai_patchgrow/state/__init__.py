"""Floor 1: what may change while a run goes on, and is shared with its loader workers?"""

from monai_patchgrow.state.latent_grid import LatentGrid
from monai_patchgrow.state.patch_size import PatchCount, PatchSize

__all__ = ["LatentGrid", "PatchCount", "PatchSize"]
