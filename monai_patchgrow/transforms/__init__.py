"""Floor 2: transforms, and what is to be known about MONAI's own."""

from monai_patchgrow.transforms.augment import BatchAugmentation
from monai_patchgrow.transforms.patches import BackgroundValued, RandPatchesd, concatenate_patches
from monai_patchgrow.transforms.recipe import AugmentationRecipe
from monai_patchgrow.transforms.sized import share_patch_size

__all__ = [
    "AugmentationRecipe",
    "BackgroundValued",
    "BatchAugmentation",
    "RandPatchesd",
    "concatenate_patches",
    "share_patch_size",
]
