"""The transform that makes a label map of logits, in hardly more memory than the logits take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor

__all__ = ["LabelMapd", "label_map"]

_VOXELS = 2**20  # whose argmax, an int64, is there at a time


def label_map(logits: Tensor, regions_class_order: Sequence[int] | None = None) -> Tensor:
    """The class of the largest logit, the first of equal ones, or the last region: (K, *spatial) -> (1, *spatial).

    The map lies on the logits' device, is uint8 up to 256 classes and int32 beyond, and has their metadata. Where
    ``argmax`` of the whole takes 8 bytes a voxel, this takes the map's own and those of a few slices.

    Args:
        logits: of classes; or of regions, each of which is there where its sigmoid is above 0.5.
        regions_class_order: the value that each region writes over those before it; None: logits are those of classes.

    Raises:
        ValueError: another number of logits than of regions.

    >>> label_map(torch.tensor([[0.1, 0.9], [0.5, 0.2]]))
    tensor([[1, 0]], dtype=torch.uint8)
    >>> label_map(torch.tensor([[-1.0, 0.5, 0.5], [-2.0, -0.5, 0.5]]), regions_class_order=[1, 2])
    tensor([[0, 1, 2]], dtype=torch.uint8)
    """
    plain, order = logits.as_subclass(Tensor), regions_class_order
    if order is not None and len(order) != len(plain):
        raise ValueError(f"regions_class_order must have a value for each of the {len(plain)} logits, got {order}")
    highest = len(plain) - 1 if order is None else max(order)
    dtype = torch.uint8 if highest < 256 else torch.int32
    labels = torch.zeros(plain.shape[1:], dtype=dtype, device=plain.device)
    if order is not None:
        for region, value in zip(plain, order, strict=True):
            labels.masked_fill_(region > 0, value)  # of a sigmoid above 0.5
        return convert_to_dst_type(labels[None], logits, dtype=dtype)[0]
    slices = max(1, _VOXELS // labels[0].numel())
    for part, target in zip(plain.split(slices, 1), labels.split(slices), strict=True):
        target.copy_(part.argmax(0))
    return convert_to_dst_type(labels[None], logits, dtype=dtype)[0]


class LabelMapd(MapTransform):
    """Puts the :func:`label_map` of logits in their place.

    For classes it stands for ``AsDiscreted(keys, argmax=True)``, with a byte per voxel in place of four.

    Args:
        keys: of logits, each (K, *spatial).
        regions_class_order: as :func:`label_map` takes it.
        allow_missing_keys: leave out keys that an item has not.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        regions_class_order: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.regions_class_order = None if regions_class_order is None else list(regions_class_order)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with label maps, (1, *spatial), on the devices of the logits."""
        mapped = dict(data)
        for key in self.key_iterator(mapped):
            mapped[key] = label_map(mapped[key], self.regions_class_order)
        return mapped
