"""RandPatchesd draws what MONAI's stock crops draw, many at once, from volumes of any shape."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import (
    ClassesToIndicesd,
    Compose,
    RandCropByLabelClassesd,
    RandCropByPosNegLabeld,
    RandSpatialCropSamplesd,
)
from scipy import stats

from monai_patchgrow import PatchCount, PatchSize
from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.schedules.sample import DRAW_KEY, SampleDraw, SamplePatches
from monai_patchgrow.transforms import AugmentationRecipe, RandPatchesd, concatenate_patches
from monai_patchgrow.transforms.patches import WITHOUT_FOREGROUND

SHAPE = (20, 24, 18)
SIZE = (5, 4, 3)


def volume(shape=SHAPE):
    """A large class 1 and a small class 2, both a patch away from the border; every image voxel is its own place."""
    label = torch.zeros(1, *shape, dtype=torch.uint8)
    label[0, 6:12, 6:12, 6:12] = 1
    label[0, 12:14, 12:14, 8:9] = 2
    image = torch.arange(float(label.numel())).reshape(label.shape)
    return {"image": image, "label": label}


def patches(count=1, item=None, *, seed=0, size=SIZE, **options):
    draw = RandPatchesd(["image", "label"], "label", size, num_classes=3, num_samples=count, **options)
    return draw.set_random_state(seed=seed)(volume() if item is None else item)


def centre_classes(labels):
    return [int(label[(0, *(voxels // 2 for voxels in label.shape[1:]))]) for label in labels]


def starts_of(images, shape=SHAPE):
    return np.stack(np.unravel_index([int(image.flatten()[0]) for image in images], shape), 1)


# what a patch is


def test_a_patch_is_what_lies_in_the_volume_there():
    item, drawn = volume(), patches(50)
    assert drawn["image"].shape == drawn["label"].shape == (50, 1, *SIZE)
    for image, label, start in zip(drawn["image"], drawn["label"], starts_of(drawn["image"]), strict=True):
        place = (slice(None), *(slice(begin, begin + n) for begin, n in zip(start, SIZE, strict=True)))
        assert torch.equal(image, item["image"][place])
        assert torch.equal(label, item["label"][place])


def test_many_channels_and_2d():
    image = torch.rand(3, 9, 8)
    drawn = patches(20, {"image": image, "label": torch.zeros(1, 9, 8)}, size=(2, 4))
    windows = image.unfold(1, 2, 1).unfold(2, 4, 1).flatten(1, 2).movedim(0, 1)
    assert drawn["image"].shape == (20, 3, 2, 4)
    assert all(any(torch.equal(patch, window) for window in windows) for patch in drawn["image"])


def test_plain_tensors_of_their_own_types():
    item = {
        key: MetaTensor(tensor.to(torch.float16 if key == "image" else torch.int16)) for key, tensor in volume().items()
    }
    drawn = patches(4, item)
    assert {key: (type(value), value.dtype) for key, value in drawn.items()} == {
        "image": (torch.Tensor, torch.float32),
        "label": (torch.Tensor, torch.int16),
        WITHOUT_FOREGROUND: (torch.Tensor, torch.bool),
    }


def test_patches_are_copies():
    item = volume()
    before = {key: tensor.clone() for key, tensor in item.items()}
    for recipe in (None, AugmentationRecipe.nnunet(SIZE)):
        drawn = patches(8, item, recipe=recipe)
        drawn["image"] += 1
        drawn["label"] += 1
    assert all(torch.equal(item[key], before[key]) for key in item)


def test_size_and_count_are_read_when_patches_are_drawn():
    size, count = PatchSize(SIZE), PatchCount(2)
    draw = RandPatchesd("label", "label", size, num_classes=3, num_samples=count)
    size.set((8, 8, 8)), count.set(5)
    assert draw(volume())["label"].shape == (5, 1, 8, 8, 8)


# what a sample carries


def carrying(size, count, before=0):
    return {DRAW_KEY: SampleDraw(0, patches=SamplePatches(size, count, before))}


def test_a_sample_s_own_size_and_count_come_before_the_shared_ones():
    item = {**volume(), **carrying((2, 3, 4), 5)}
    assert patches(PatchCount(1), item, size=PatchSize(SIZE))["image"].shape == (5, 1, 2, 3, 4)


def test_a_size_and_count_that_are_written_out_stay():
    item = {**volume(), **carrying((2, 3, 4), 5)}
    assert patches(2, item)["image"].shape == (2, 1, *SIZE)


def test_what_a_sample_carries_does_not_reach_the_batch():
    item = {**volume(), **carrying(SIZE, 2)}
    assert set(patches(PatchCount(1), item)) == {"image", "label", WITHOUT_FOREGROUND}


# volumes smaller than the patch


def test_a_smaller_volume_is_padded_around_its_middle():
    item = {"image": torch.full((1, 3, 10), 7.0), "label": torch.ones(1, 3, 10)}
    drawn = patches(2, item, size=(6, 4), label_padding=-1)
    rows = torch.tensor([0, 0, 1, 1, 1, 0])
    assert torch.equal(drawn["image"][1, 0], (rows * 7.0)[:, None].expand(6, 4))
    assert torch.equal(drawn["label"][1, 0], (rows * 2.0 - 1)[:, None].expand(6, 4))


def test_outside_of_the_volume_every_channel_of_an_image_is_zero():
    image = torch.stack([torch.full((3, 3), -1.5), torch.full((3, 3), 2.0)])
    drawn = patches(1, {"image": image, "label": torch.zeros(1, 3, 3)}, size=(5, 5))
    assert drawn["image"][0, :, 0, 0].tolist() == [0.0, 0.0]


def test_more_axes_than_the_volume():
    with pytest.raises(ValueError, match=r"no more axes than the volume \(20, 24, 18\), got \(4, 4, 4, 4\)"):
        patches(size=(4, 4, 4, 4))


def test_recipe_for_another_number_of_axes():
    with pytest.raises(ValueError, match="recipe must be for 3 axes as the patch, got one for 2"):
        patches(recipe=AugmentationRecipe.nnunet((32, 32)))


# slices


def _slices(**options):
    label = torch.zeros(1, 12, 14, 9, dtype=torch.uint8)
    label[:, 4:8, 4:9, 6] = 1
    image = torch.arange(9.0).expand(2, 12, 14, 9)
    return patches(40, {"image": image, "label": label}, size=(8, 8), **options)


def test_a_size_of_fewer_axes_draws_slices():
    drawn = _slices()
    assert drawn["image"].shape == (40, 2, 8, 8)
    assert drawn["label"].shape == (40, 1, 8, 8)


def test_a_slice_lies_in_one_plane_of_the_volume():
    assert all(len(one.unique()) == 1 for one in _slices()["image"])


def test_half_of_the_slices_hold_foreground():
    drawn = _slices()
    assert (drawn["image"][:, 0, 0, 0] == 6).sum() >= 20


def test_slices_are_rotated_and_scaled_within_their_plane():
    recipe = replace(AugmentationRecipe.nnunet((8, 8)), rotation_prob=1.0, scale_prob=1.0, scale_range=(0.7, 0.71))
    drawn = _slices(recipe=recipe)
    inside = drawn["image"][:, 0, 3:5, 3:5].flatten(1)
    assert torch.allclose(inside, inside[:, :1].expand_as(inside), atol=1e-4)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_wrong_fraction(fraction):
    with pytest.raises(ValueError, match="foreground_fraction must be between 0 and 1"):
        patches(foreground_fraction=fraction)


# the same distributions as the stock crops

MANY = 4000


def stock(crop, count=MANY):
    item = {key: MetaTensor(tensor) for key, tensor in volume().items()}
    return crop(spatial_size=SIZE, num_samples=count, label_key="label", keys=["image", "label"]).set_random_state(0)(
        item
    )


def same_shares(ours, theirs):
    """p of the hypothesis that two lists of categories come from one distribution."""
    categories = sorted({*ours, *theirs})
    return stats.chi2_contingency([[some.count(one) for one in categories] for some in (ours, theirs)]).pvalue


def test_share_of_foreground_is_the_stock_crop_s():
    ours = [label > 0 for label in centre_classes(patches(MANY, foreground_fraction=0.5)["label"])]
    theirs = stock(lambda **options: RandCropByPosNegLabeld(pos=1, neg=1, **options))
    # The stock crop's other half avoids foreground, ours lies anywhere: as nnU-Net's.
    assert np.mean([label > 0 for label in centre_classes(patch["label"] for patch in theirs)]) == pytest.approx(
        0.5, abs=0.02
    )
    legal = np.mean(volume()["label"][:, 2:18, 2:23, 1:17].numpy() > 0)
    assert np.mean(ours) == pytest.approx(0.5 + 0.5 * legal, abs=0.02)


def test_classes_are_balanced_as_the_stock_crop_s():
    ours = centre_classes(patches(MANY, foreground_fraction=1.0)["label"])
    theirs = stock(lambda **options: RandCropByLabelClassesd(ratios=[0, 1, 1], num_classes=3, **options))
    assert set(ours) == {1, 2}
    assert same_shares(ours, centre_classes(patch["label"] for patch in theirs)) > 0.01


def test_centres_within_a_class_are_the_stock_crop_s():
    ours = starts_of(patches(MANY, foreground_fraction=1.0)["image"])
    crops = stock(lambda **options: RandCropByLabelClassesd(ratios=[0, 1, 1], num_classes=3, **options))
    theirs = starts_of([patch["image"] for patch in crops])
    for axis in range(3):
        assert same_shares(ours[:, axis].tolist(), theirs[:, axis].tolist()) > 0.01


def test_uniform_patches_cover_positions_as_the_stock_crop():
    ours = starts_of(patches(MANY, foreground_fraction=0.0)["image"])
    crop = RandSpatialCropSamplesd("image", roi_size=SIZE, num_samples=MANY, random_size=False).set_random_state(0)
    theirs = starts_of([patch["image"] for patch in crop({"image": volume()["image"]})])
    for axis in range(3):
        counts = np.bincount(ours[:, axis], minlength=SHAPE[axis] - SIZE[axis] + 1)
        assert stats.chisquare(counts).pvalue > 0.01
        assert same_shares(ours[:, axis].tolist(), theirs[:, axis].tolist()) > 0.01


# foreground


def test_every_batch_of_two_holds_one_foreground_patch():
    label = torch.zeros(1, 24, 24)
    label[0, 3, 3] = 1
    items = [{"image": label, "label": label} for _ in range(6)]
    draw = RandPatchesd(["image", "label"], "label", (1, 1), num_classes=2)
    loader = SeededDataLoader(
        Dataset(items, Compose([draw])), batch_size=2, iterations_per_epoch=50, collate_fn=concatenate_patches
    )
    assert [int((batch["label"][1] > 0).sum()) for batch in loader] == [1] * 50


def test_turns_go_on_over_the_volumes_of_a_batch():
    shares = []
    for position in range(4):
        item = {**volume(), DRAW_KEY: SampleDraw(0, position=position)}
        shares += [label > 0 for label in centre_classes(patches(3, item, foreground_fraction=1 / 3)["label"])]
    assert shares[2::3] == [True] * 4


def test_turns_go_on_where_volumes_give_different_numbers_of_patches():
    turns = []
    for before, count in ((0, 3), (3, 2), (5, 3)):
        item = {**volume(), "label": volume()["label"] * 0, **carrying(SIZE, count, before)}
        drawn = patches(PatchCount(1), item, foreground_fraction=0.5)
        turns += drawn[WITHOUT_FOREGROUND].tolist()  # of the patches whose turn it was, there being no foreground
    assert turns == [False, True] * 4


def test_padding_that_the_label_can_t_hold():
    with pytest.raises(ValueError, match=r"label_padding must fit the label's type torch.uint8, got -1"):
        patches(label_padding=-1)


def test_indices_of_a_cache_are_taken():
    item = ClassesToIndicesd("label", num_classes=3)(volume())
    item["label_cls_indices"] = [
        item["label_cls_indices"][0],
        torch.tensor([], dtype=torch.long),
        item["label_cls_indices"][2],
    ]
    drawn = patches(40, item, foreground_fraction=1.0)
    assert set(centre_classes(drawn["label"])) == {2}
    item["elsewhere"] = item.pop("label_cls_indices")
    assert set(centre_classes(patches(40, item, foreground_fraction=1.0)["label"])) == {1, 2}
    drawn = patches(40, item, indices_key="elsewhere", foreground_fraction=1.0)
    assert set(centre_classes(drawn["label"])) == {2}


def test_without_foreground_patches_come_from_anywhere_and_are_counted():
    item = {"image": volume()["image"], "label": torch.zeros(1, *SHAPE)}
    drawn = patches(600, item)
    assert int(drawn[WITHOUT_FOREGROUND].sum()) == 300
    assert not patches(10)[WITHOUT_FOREGROUND].any()
    assert len(np.unique(starts_of(drawn["image"])[:, 0])) == SHAPE[0] - SIZE[0] + 1


# the rest


def test_only_the_affected_patches_are_warped():
    straight, warped = patches(300), patches(300, recipe=AugmentationRecipe.nnunet((32, 32, 32)))
    same = (straight["image"] == warped["image"]).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.64, abs=0.1)
    assert torch.equal(straight["label"][same], warped["label"][same])


def test_same_seed_same_patches():
    recipe = AugmentationRecipe.nnunet((32, 32, 32))
    first, again, other = (patches(8, seed=seed, recipe=recipe)["image"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_collate_concatenates_in_order():
    stacks = [{"label": torch.full((count, 1, 2), count)} for count in (1, 3)]
    assert concatenate_patches(stacks)["label"][:, 0, 0].tolist() == [1, 3, 3, 3]


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7, np.int64(7)])
def test_a_seed_means_what_it_means_to_monai_s_transforms(seed):
    transform = RandPatchesd("image", "label", SIZE, num_classes=3)
    transform.set_random_state(seed=5).R.standard_normal()  # a second normal number waits, which seeding forgets
    expected = np.random.RandomState(int(seed) % 2**32)
    state = transform.set_random_state(seed=seed).R
    assert (state.standard_normal(), state.randint(1000)) == (expected.standard_normal(), expected.randint(1000))


def test_two_transforms_have_each_their_own_state():
    one, other = (RandPatchesd("image", "label", SIZE, num_classes=3).set_random_state(seed=seed) for seed in (1, 2))
    assert one.R.randint(2**31) == np.random.RandomState(1).randint(2**31)
    assert other.R.randint(2**31) == np.random.RandomState(2).randint(2**31)
