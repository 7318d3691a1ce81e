"""Resamples each case to the network's voxels, slices by themselves where they are thick."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Spacingd
from monai.utils import TraceKeys

from .anisotropy import separate_axis

__all__ = ["CaseSpacingd"]


class CaseSpacingd(MapTransform, InvertibleTransform):
    """MONAI's ``Spacingd``, in one step or in two, as `separate_axis` decides for each case.

    Where slices are thick the first step resamples in plane, and the second takes the nearest slice. What is recorded
    in `applied_operations`, and undone by ``Invertd``, are those steps, with one entry behind them that tells which.

    Args:
        keys: MetaTensors (C, X, Y, Z); the first of an item decides for all.
        pixdim: target spacing, mm per axis.
        mode: of the step in plane, or of the only one; one for all keys or one per key.
        padding_mode: outside of the image.
        dtype: that is resampled in.
        allow_missing_keys: leave out keys that an item hasn't.

    Raises:
        ValueError: a spacing that is not above 0.

    >>> from monai.data import MetaTensor
    >>> thick = MetaTensor(torch.rand(1, 8, 8, 4), torch.diag(torch.tensor([0.8, 0.8, 5.0, 1.0])))
    >>> image = CaseSpacingd("image", pixdim=(1, 1, 1))({"image": thick})["image"]
    >>> tuple(image.shape), [step["extra_info"].get("mode") for step in image.applied_operations]
    ((1, 7, 7, 16), ['bilinear', 'nearest', None])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        pixdim: Sequence[float],
        mode: int | str | Sequence[int | str] = "bilinear",
        padding_mode: str | Sequence[str] = "border",
        dtype: torch.dtype | Sequence[torch.dtype] = torch.float32,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not all(mm > 0 for mm in pixdim):
            raise ValueError(f"pixdim must be above 0 on every axis, got {list(pixdim)}")
        self.pixdim = tuple(map(float, pixdim))
        # Which keys must be there is this transform's to check; inverting brings some of them alone.
        options: dict[str, Any] = {"padding_mode": padding_mode, "dtype": dtype, "allow_missing_keys": True}
        self.whole = Spacingd(keys, self.pixdim, mode=mode, **options)
        self.in_plane = [
            Spacingd(keys, [-1.0 if axis == apart else mm for axis, mm in enumerate(self.pixdim)], mode=mode, **options)
            for apart in range(len(self.pixdim))
        ]
        self.through_plane = Spacingd(keys, self.pixdim, mode="nearest", **options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images and labels resampled."""
        item = dict(data)
        present = list(self.key_iterator(item))
        if not present:
            return item
        axis = separate_axis(item[present[0]].pixdim.tolist(), target=self.pixdim)
        for step in self._steps(axis):
            item = step(item)
        for key in present:
            item[key] = self.push_transform(item[key], extra_info={"axis": axis})
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its tensors on the voxels that they had before."""
        item = dict(data)
        for key in self.key_iterator(item):
            axis = self.pop_transform(item[key])[TraceKeys.EXTRA_INFO]["axis"]
            for step in reversed(self._steps(axis)):
                item[key] = step.inverse({key: item[key]})[key]
        return item

    def _steps(self, axis: int | None) -> list[Spacingd]:
        return [self.whole] if axis is None else [self.in_plane[axis], self.through_plane]
