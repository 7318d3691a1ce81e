"""Random crops of which exactly half, in every batch, are centred on foreground."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, SpatialCrop
from monai.transforms.utils import map_classes_to_indices

from monai_patchgrow.state.sample_position import sample_position

__all__ = ["FOREGROUND_FRACTION", "RandForegroundCropd"]

FOREGROUND_FRACTION = 0.5
"""Share of the patches that are centred on foreground, as the PGPS authors' code has it (nnU-Net: 0.33)."""


class RandForegroundCropd(Randomizable, MapTransform):
    """Draws patches that take turns: centred on a foreground voxel of a random class, or anywhere.

    MONAI's crops toss a coin for each patch, so that of batches of two a quarter are centred on no foreground at all;
    nnU-Net decides by the place in the batch, and so does this. Turns need a loader that counts
    (:class:`monai_patchgrow.data.SeededDataLoader`); with another one a coin is tossed here too. A patch larger than
    the volume is cut to it: pad behind.

    Args:
        keys: what to crop, channel first ``(C, X, Y, Z)``, all of one spatial shape.
        label_key: the label ``(1, X, Y, Z)``, class 0 being background.
        spatial_size: voxels per axis; read at call time, so a ``PatchSize`` can stand here.
        num_classes: classes of the label, background included.
        indices_key: where ``ClassesToIndicesd`` left the voxels of each class; without, they are found each time.
        num_samples: patches per volume; a ``PatchCount`` can stand here.
        foreground_fraction: share of the patches that are centred on foreground.
        allow_missing_keys: skip `keys` that are not there.

    Returns:
        A list of `num_samples` dictionaries. A volume without foreground gives patches from anywhere.

    >>> import torch
    >>> label = torch.zeros(1, 16, 16)
    >>> label[:, 2, 3] = 1
    >>> crop = RandForegroundCropd("label", "label", (3, 3), num_classes=2, num_samples=2)
    >>> patches = crop.set_random_state(seed=0)({"label": label})
    >>> [tuple(patch["label"].shape) for patch in patches]
    [(1, 3, 3), (1, 3, 3)]
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        spatial_size: Sequence[int],
        *,
        num_classes: int,
        indices_key: str | None = None,
        num_samples: int = 1,
        foreground_fraction: float = FOREGROUND_FRACTION,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not 0 <= foreground_fraction <= 1:
            raise ValueError(f"foreground_fraction must be between 0 and 1, got {foreground_fraction}")
        self.label_key = label_key
        self.spatial_size = spatial_size
        self.num_classes = num_classes
        self.indices_key = indices_key
        self.num_samples = num_samples
        self.foreground_fraction = foreground_fraction

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        """Draw the patches of one volume."""
        shape = tuple(data[self.label_key].shape[1:])
        size = np.minimum(tuple(self.spatial_size), shape)
        foreground = [indices for indices in self._class_indices(data)[1:] if len(indices)]
        patches = []
        for number in range(int(self.num_samples)):
            centre = self._draw_centre(shape, foreground if self._is_foreground_s_turn(number) else [])
            start = np.clip(centre - size // 2, 0, shape - size)
            cropper = SpatialCrop(roi_start=start, roi_end=start + size)
            patches.append({**data, **{key: cropper(data[key]) for key in self.key_iterator(dict(data))}})
        return patches

    def _class_indices(self, data: Mapping[Hashable, Any]) -> Sequence[Any]:
        """Flat voxel indices of each class."""
        if self.indices_key is not None:
            return data[self.indices_key]
        return map_classes_to_indices(data[self.label_key], self.num_classes)

    def _is_foreground_s_turn(self, number: int) -> bool:
        """Whether a patch of this volume is one of the foreground's; turns are spread evenly over the epoch."""
        if sample_position.value is None:
            return bool(self.R.uniform() < self.foreground_fraction)
        turn = sample_position.value * int(self.num_samples) + number
        return int((turn + 1) * self.foreground_fraction) > int(turn * self.foreground_fraction)

    def _draw_centre(self, shape: tuple[int, ...], foreground: Sequence[Any]) -> np.ndarray:
        """A voxel of a class drawn uniformly among those present, or any voxel where there is none."""
        if not foreground:
            return np.array([self.R.randint(voxels) for voxels in shape])
        indices = foreground[self.R.randint(len(foreground))]
        return np.array(np.unravel_index(int(indices[self.R.randint(len(indices))]), shape))
