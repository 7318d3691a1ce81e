"""Puts a label on its image's voxels."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import MetaKeys

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.nifti_header import SAME_VOXEL, off_grid, voxels_moved

__all__ = ["OnImageGridd"]

_logger = logging.getLogger(__name__)


class OnImageGridd(MapTransform):
    """Gives labels the affine of their image, by which all are turned and resampled alike.

    Two headers of one grid differ by their rounding; near 45 degrees that alone decides which array axis counts as
    which, and a label would be turned another way than its image.

    Args:
        keys: labels, MetaTensors (C, X, Y, Z).
        image_key: of the image, a MetaTensor (C, X, Y, Z).
        trust_label_voxels: take a label of the image's shape as it is, with a warning, where its header puts voxels
            elsewhere; nnU-Net does so.

    Raises:
        DataError: a label of another shape; one whose header puts a voxel half of one off, unless trusted.

    >>> import numpy as np
    >>> volumes = {"image": MetaTensor(np.zeros((1, 4, 4, 4)), np.diag([2.0, 2, 2, 1]))}
    >>> volumes["label"] = MetaTensor(np.zeros((1, 4, 4, 4)), np.diag([2.00001, 2, 2, 1]))
    >>> OnImageGridd("label", image_key="image")(volumes)["label"].affine.diagonal().tolist()
    [2.0, 2.0, 2.0, 1.0]
    """

    def __init__(self, keys: KeysCollection, *, image_key: str, trust_label_voxels: bool = False) -> None:
        super().__init__(keys)
        self.image_key, self.trust_label_voxels = image_key, trust_label_voxels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its labels on the image's grid."""
        item = dict(data)
        image = item[self.image_key]
        for key in self.key_iterator(item):
            label = item[key]
            name = label.meta.get("filename_or_obj", key)
            if label.shape[1:] != image.shape[1:]:
                raise DataError(f"{name}: shape {tuple(label.shape[1:])}, but its image has {tuple(image.shape[1:])}")
            moved = voxels_moved(image.shape[1:], image.affine.numpy(), label.affine.numpy())
            if not moved < SAME_VOXEL:
                if not self.trust_label_voxels:
                    raise DataError(f"{name}: {off_grid(moved)}")
                _logger.warning("%s: its header is %.3g voxels off its image's: its voxels are trusted", name, moved)
            item[key] = MetaTensor(label.as_tensor(), meta={**label.meta, MetaKeys.AFFINE: image.affine.clone()})
        return item
