"""The voxels of a label that patches are centred on: of classes, of regions, and where it is annotated at all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.transforms.utils import map_classes_to_indices
from torch import Tensor

__all__ = ["LabelPlacesd", "label_places"]

_INDICES, _ANNOTATED = "_cls_indices", "_annotated_indices"  # behind a label's key


def label_places(label: Tensor, places: Sequence[Sequence[int]], *, max_samples: int | None = None) -> list[Tensor]:
    """Flat indices of the voxels that have one of a group's values, for each group.

    Args:
        label: ``(1, *spatial)``.
        places: groups of values, which may overlap.
        max_samples: of each group, evenly spaced; None: all.

    >>> label_places(torch.tensor([[0, 1, 2]]), [[0], [1, 2], [2]])
    [tensor([0]), tensor([1, 2]), tensor([2])]
    """
    found = []
    for values in places:
        # A group at a time, as a class of its own: one-hot copies of all would take a byte per voxel and group.
        belongs = torch.stack([label.as_subclass(Tensor) == value for value in values]).any(0).to(torch.uint8)
        found.append(map_classes_to_indices(1 - belongs, num_classes=1, max_samples_per_class=max_samples)[0])
    return [torch.as_tensor(indices) for indices in found]


class LabelPlacesd(MapTransform):
    """Puts the :func:`label_places` of labels beside them, as ``KEY_cls_indices``.

    It stands for MONAI's ``ClassesToIndicesd``, which knows no groups of values.

    Args:
        keys: of labels, ``(1, *spatial)``.
        places: groups of values: the background, and each class or region.
        annotated: values of the voxels that are annotated, which go to ``KEY_annotated_indices``; None: all are.
        max_samples: voxels that are kept of each group, evenly spaced; None: all.
    """

    def __init__(
        self,
        keys: KeysCollection,
        places: Sequence[Sequence[int]],
        *,
        annotated: Sequence[int] | None = None,
        max_samples: int | None = None,
    ) -> None:
        super().__init__(keys)
        self.places, self.max_samples = [list(values) for values in places], max_samples
        self.annotated = None if annotated is None else list(annotated)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the indices of each group."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[f"{key}{_INDICES}"] = label_places(item[key], self.places, max_samples=self.max_samples)
            if self.annotated is not None:
                found = label_places(item[key], [self.annotated], max_samples=self.max_samples)
                item[f"{key}{_ANNOTATED}"] = found[0]
        return item
