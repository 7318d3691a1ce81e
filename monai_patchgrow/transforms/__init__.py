"""Floor 2: transforms, and what is to be known about MONAI's own."""

from monai_patchgrow.transforms.foreground_crop import RandForegroundCropd
from monai_patchgrow.transforms.sized import share_patch_size

__all__ = ["RandForegroundCropd", "share_patch_size"]
