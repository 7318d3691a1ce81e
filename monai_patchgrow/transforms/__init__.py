"""Floor 2: what happens to patches between the volume and the network?"""

from monai_patchgrow.transforms.augment import BatchAugmentation
from monai_patchgrow.transforms.label_maps import LabelMapd
from monai_patchgrow.transforms.label_places import LabelPlacesd
from monai_patchgrow.transforms.patches import RandPatchesd, concatenate_patches
from monai_patchgrow.transforms.recipe import AugmentationRecipe
from monai_patchgrow.transforms.sized import share_patch_size

__all__ = [
    "AugmentationRecipe",
    "BatchAugmentation",
    "LabelMapd",
    "LabelPlacesd",
    "RandPatchesd",
    "concatenate_patches",
    "share_patch_size",
]
