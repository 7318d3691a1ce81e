"""Floor 2: transforms, and what is to be known about MONAI's own."""

from monai_patchgrow.transforms.sized import share_patch_size

__all__ = ["share_patch_size"]
