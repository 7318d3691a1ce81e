"""share_patch_size finds MONAI's crops wherever they stand, and refuses those that can't grow."""

import pytest
import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    LoadImaged,
    OneOf,
    RandCropByLabelClassesd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandScaleCropd,
    RandSpatialCrop,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    RandWeightedCropd,
    ResizeWithPadOrCropd,
    SpatialPadd,
)

from monai_patchgrow import PatchCount, PatchSize
from monai_patchgrow.transforms import RandPatchesd
from monai_patchgrow.transforms.sized import refuse_cached_patch_size, share_patch_size

FULL = (16, 16, 16)
KEYS = ["image", "label"]


def share(transform, **options):
    size, count = PatchSize((8, 8, 8)), PatchCount(2)
    share_patch_size(transform, full_size=FULL, patch_size=size, patch_count=count, **options)
    return size, count


def volume():
    label = torch.zeros(1, 24, 24, 24)
    label[:, 4:20, 4:20, 4:20] = 1
    return {"image": torch.rand(1, 24, 24, 24), "label": label}


def test_our_own_draw_follows_too():
    draw = RandPatchesd(KEYS, "label", FULL, num_classes=2)
    share(Compose([draw]), most_per_volume=2)
    assert draw(volume())["image"].shape == (2, 1, 8, 8, 8)


CROPS = {
    "RandSpatialCropSamplesd": RandSpatialCropSamplesd(KEYS, roi_size=FULL, num_samples=1, random_size=False),
    "RandCropByPosNegLabeld": RandCropByPosNegLabeld(KEYS, "label", spatial_size=FULL, num_samples=1),
    "RandCropByLabelClassesd": RandCropByLabelClassesd(KEYS, "label", spatial_size=FULL, num_classes=2, num_samples=1),
}


@pytest.mark.parametrize("name", CROPS)
def test_crop_follows_the_shared_size_and_count(name):
    crop = CROPS[name]
    size, count = share(crop, most_per_volume=2)
    assert [tuple(patch["image"].shape) for patch in crop(volume())] == [(1, 8, 8, 8)] * 2
    size.set((16, 8, 4))
    count.set(3)
    assert [tuple(patch["label"].shape) for patch in crop(volume())] == [(1, 16, 8, 4)] * 3
    size.set(FULL)
    count.set(1)


@pytest.mark.parametrize("crop", [RandSpatialCropd(KEYS, FULL, random_size=False), RandSpatialCrop(16)])
def test_crop_of_one_patch(crop):
    share(crop)
    item = volume()
    patch = crop(item)["image"] if isinstance(crop, RandSpatialCropd) else crop(item["image"])
    assert patch.shape == (1, 8, 8, 8)


def test_crops_are_found_inside_nested_pipelines():
    crop = RandSpatialCropd(KEYS, FULL, random_size=False)
    size, _ = share(Compose([LoadImaged(KEYS), Compose([OneOf([crop]), RandFlipd(KEYS)])]))
    assert crop.cropper.roi_size is size


def test_pads_behind_the_crop_follow_and_those_before_stay():
    before, after = SpatialPadd(KEYS, FULL), SpatialPadd(KEYS, FULL)
    both, centre = ResizeWithPadOrCropd(KEYS, FULL), CenterSpatialCropd(KEYS, FULL)
    other = SpatialPadd(KEYS, (64, 64, 64))
    crop = RandSpatialCropd(KEYS, FULL, random_size=False)
    size, _ = share(Compose([before, crop, after, both, centre, other]))
    assert before.padder.spatial_size == FULL
    assert after.padder.spatial_size is size
    assert both.padder.padder.spatial_size is size
    assert both.padder.cropper.roi_size is size
    assert centre.cropper.roi_size is size
    assert other.padder.spatial_size == (64, 64, 64)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (RandFlipd(KEYS), "found none"),
        (RandWeightedCropd(KEYS, "label", FULL), "RandWeightedCropd freezes its size"),
        (RandScaleCropd(KEYS, 0.5), "RandScaleCropd crops a share"),
        (RandSpatialCropd(KEYS, FULL, random_size=True), "RandSpatialCropd draws a random size"),
        (RandSpatialCropd(KEYS, (8, 16, 16), random_size=False), "must be the schedule's full patch"),
    ],
)
def test_crops_that_cannot_grow_are_refused_by_name(transform, message):
    with pytest.raises(ValueError, match=message):
        share(transform)


def test_single_patch_crop_is_refused_where_many_are_asked_for():
    with pytest.raises(ValueError, match="RandSpatialCropd draws one patch per volume"):
        share(RandSpatialCropd(KEYS, FULL, random_size=False), most_per_volume=4)


def test_crop_written_for_another_count_gets_a_warning(caplog):
    share(RandSpatialCropSamplesd(KEYS, FULL, num_samples=4, random_size=False), full_count=1)
    assert "draws 4 patches per volume, the schedule's batch_size means 1" in caplog.text


def test_size_in_front_of_a_cache_is_refused_by_name():
    size = PatchSize(FULL)
    pipeline = Compose([SpatialPadd("image", size), RandSpatialCropd("image", size, random_size=False)])
    items = [{"image": torch.rand(1, 8, 8, 8)}]
    refuse_cached_patch_size(Dataset(items, pipeline))
    with pytest.raises(ValueError, match="SpatialPadd reads the growing patch size in front of the cache of CacheD"):
        refuse_cached_patch_size(CacheDataset(items, pipeline, progress=False))
