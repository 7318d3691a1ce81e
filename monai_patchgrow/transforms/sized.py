"""Finds the transforms of a MONAI pipeline that hold a patch size, and puts a shared one in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from monai.data import CacheDataset, PersistentDataset
from monai.transforms import (
    Compose,
    Randomizable,
    RandScaleCrop,
    RandScaleCropd,
    RandWeightedCrop,
    RandWeightedCropd,
)
from monai.transforms.traits import RandomizableTrait

from monai_patchgrow.state import PatchCount, PatchSize
from monai_patchgrow.transforms.patches import RandPatchesd

__all__ = ["refuse_cached_patch_size", "share_patch_size"]

_logger = logging.getLogger(__name__)

_SIZE_ATTRIBUTES = ("roi_size", "spatial_size")
# MONAI's crops and pads nest: RandSpatialCropSamplesd.cropper.cropper, ResizeWithPadOrCropd.padder.padder.
_NESTING_ATTRIBUTES = ("cropper", "padder")
_ALTERNATIVES = "use RandCropByLabelClassesd, RandCropByPosNegLabeld or RandSpatialCropSamplesd"


class _Slot(NamedTuple):
    holder: Any
    attribute: str

    @property
    def value(self) -> Any:
        return getattr(self.holder, self.attribute)

    def put(self, value: Any) -> None:
        setattr(self.holder, self.attribute, value)


def share_patch_size(
    transform: Any,
    *,
    full_size: Sequence[int],
    patch_size: PatchSize,
    patch_count: PatchCount | None = None,
    full_count: int = 1,
    most_per_volume: int = 1,
) -> None:
    """Let the random crops of a MONAI pipeline read their size and count from shared values.

    Crops must have been written for the full patch. Pads and crops behind the first random crop that were
    written for the full patch follow it; whatever stands before it is left alone.

    Args:
        transform: a crop, a ``Compose`` (nested ones too) or a sequence of transforms, changed in place.
        full_size: the schedule's full patch, voxels per axis.
        patch_size: the shared size to put in.
        patch_count: the shared number of patches per volume to put in, where the crop has ``num_samples``.
        full_count: the count at the full patch; a crop that was written for another gets a warning in the log.
        most_per_volume: the largest count that the schedule asks for.

    Raises:
        ValueError: no random crop found; a crop of another size than `full_size`; a crop whose size is frozen
            (``RandWeightedCropd``), relative (``RandScaleCropd``) or random (``random_size=True``); a crop
            that draws one patch where the schedule asks for more; a shared size in front of a cache.

    >>> from monai.transforms import Compose, RandSpatialCropd
    >>> size = PatchSize((8, 8, 8))
    >>> pipeline = Compose([RandSpatialCropd("image", roi_size=(32, 32, 32), random_size=False)])
    >>> share_patch_size(pipeline, full_size=(32, 32, 32), patch_size=size)
    >>> pipeline.transforms[0].cropper.roi_size
    PatchSize(8, 8, 8)
    """
    found = False
    for leaf in _leaves(transform):
        if _is_random_crop(leaf):
            found = True
            _refuse_fixed_size(leaf)
            for slot in _slots(leaf, _SIZE_ATTRIBUTES):
                _put_size(leaf, slot, full_size, patch_size)
            if patch_count is not None:
                _put_count(leaf, patch_count, full_count, most_per_volume)
        elif found:
            for slot in _slots(leaf, _SIZE_ATTRIBUTES):
                if _same_size(slot.value, full_size):
                    slot.put(patch_size)
    if not found:
        raise ValueError(f"transform must hold a random crop of MONAI's, found none: {_ALTERNATIVES}")


def refuse_cached_patch_size(dataset: Any) -> None:
    """Raise a ValueError that names the transform where a data set would cache a growing size.

    Args:
        dataset: any data set; only MONAI's caching ones, and those that wrap one as ``.dataset``, can fail.
    """
    while not isinstance(dataset, (CacheDataset, PersistentDataset)):
        if not hasattr(dataset, "dataset"):
            return
        dataset = dataset.dataset
    for leaf in _leaves(dataset.transform):
        if isinstance(leaf, RandomizableTrait):
            return
        for slot in _slots(leaf, _SIZE_ATTRIBUTES):
            if isinstance(slot.value, PatchSize):
                raise ValueError(
                    f"{type(leaf).__name__} reads the growing patch size in front of the cache of "
                    f"{type(dataset).__name__}, which would keep the first stage's: move it behind the random crop"
                )


def _leaves(transform: Any) -> Iterator[Any]:
    """The single transforms of a pipeline in the order in which they run."""
    if isinstance(transform, Compose):
        yield from _leaves(transform.transforms)
    elif isinstance(transform, Iterable):
        for one in transform:
            yield from _leaves(one)
    else:
        yield transform


def _slots(transform: Any, attributes: Sequence[str]) -> list[_Slot]:
    """Where a crop or pad keeps one of the attributes, itself or in what it wraps."""
    slots = [_Slot(transform, name) for name in attributes if name in vars(transform)]
    for nesting in _NESTING_ATTRIBUTES:
        inner = getattr(transform, nesting, None)
        if inner is not None:
            slots += _slots(inner, attributes)
    return slots


def _is_random_crop(transform: Any) -> bool:
    named_crop = "Crop" in type(transform).__name__ or isinstance(transform, RandPatchesd)
    return (
        named_crop and isinstance(transform, Randomizable) and bool(_slots(transform, (*_SIZE_ATTRIBUTES, "roi_scale")))
    )


def _refuse_fixed_size(crop: Any) -> None:
    name = type(crop).__name__
    if isinstance(crop, (RandWeightedCrop, RandWeightedCropd)):
        raise ValueError(f"{name} freezes its size when it is made and can't grow: {_ALTERNATIVES}")
    if isinstance(crop, (RandScaleCrop, RandScaleCropd)):
        raise ValueError(f"{name} crops a share of the image, not a number of voxels: {_ALTERNATIVES}")
    if any(slot.value for slot in _slots(crop, ("random_size",))):
        raise ValueError(f"{name} draws a random size: set random_size to false")


def _put_size(crop: Any, slot: _Slot, full_size: Sequence[int], patch_size: PatchSize) -> None:
    if slot.value is not patch_size and not _same_size(slot.value, full_size):
        raise ValueError(
            f"{type(crop).__name__}'s {slot.attribute} must be the schedule's full patch {tuple(full_size)}, "
            f"got {slot.value}"
        )
    slot.put(patch_size)


def _put_count(crop: Any, patch_count: PatchCount, full_count: int, most_per_volume: int) -> None:
    slots = _slots(crop, ("num_samples",))
    if not slots and most_per_volume > 1:
        raise ValueError(
            f"{type(crop).__name__} draws one patch per volume, the schedule asks for up to {most_per_volume}: "
            f"{_ALTERNATIVES}"
        )
    for slot in slots:
        if slot.value is not patch_count and slot.value != full_count:
            _logger.warning(
                "%s draws %s patches per volume, the schedule's batch_size means %s: the schedule's is taken",
                *(type(crop).__name__, slot.value, full_count),
            )
        slot.put(patch_count)


def _same_size(size: Any, full_size: Sequence[int]) -> bool:
    sizes = tuple(size) if isinstance(size, Iterable) else (size,) * len(full_size)
    return sizes == tuple(full_size)
