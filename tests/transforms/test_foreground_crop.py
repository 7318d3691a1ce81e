"""RandForegroundCropd takes turns between foreground and anywhere, over the whole batch."""

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.transforms import ClassesToIndicesd, Compose

from monai_patchgrow import PatchCount, PatchSize
from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.state.sample_position import sample_position
from monai_patchgrow.transforms import RandForegroundCropd


@pytest.fixture(autouse=True)
def unknown_position():
    yield
    sample_position.value = None


def volume():
    """Two voxels of class 1 and one of class 2 in a corner of 24x24."""
    label = torch.zeros(1, 24, 24)
    label[0, 3, 3] = label[0, 3, 5] = 1
    label[0, 5, 4] = 2
    return {"image": torch.arange(576.0).reshape(1, 24, 24), "label": label}


def crop(**options):
    options = {"spatial_size": (1, 1), "num_classes": 3, **options}
    return RandForegroundCropd(["image", "label"], "label", **options).set_random_state(seed=0)


def classes_drawn(draw, times):
    item = volume()
    return [int(patch["label"][0, 0, 0]) for _ in range(times) for patch in draw(item)]


def test_every_batch_of_two_holds_one_foreground_patch():
    items = [volume() for _ in range(6)]
    loader = SeededDataLoader(Dataset(items, Compose([crop()])), batch_size=2, iterations_per_epoch=50)
    assert [int((batch["label"][1] > 0).sum()) for batch in loader] == [1] * 50


def test_turns_hold_within_a_volume_too():
    sample_position.value = 3
    assert [label > 0 for label in classes_drawn(crop(num_samples=4), 1)] == [False, True, False, True]


def test_without_a_counting_loader_half_are_foreground_on_average():
    share = np.mean([label > 0 for label in classes_drawn(crop(num_samples=2000), 1)])
    assert share == pytest.approx(0.5, abs=0.04)


def test_foreground_classes_are_drawn_equally_whatever_their_size():
    drawn = classes_drawn(crop(num_samples=2000, foreground_fraction=1.0), 1)
    assert set(drawn) == {1, 2}
    assert np.mean([label == 1 for label in drawn]) == pytest.approx(0.5, abs=0.04)


def test_other_patches_come_from_anywhere():
    patches = crop(num_samples=20000, foreground_fraction=0.0)(volume())
    counts = np.bincount([int(patch["image"][0, 0, 0]) for patch in patches], minlength=576)
    assert counts.min() > 0
    assert counts.max() < 80  # 35 on average


def test_volume_without_foreground_gives_patches_from_anywhere():
    item = {**volume(), "label": torch.zeros(1, 24, 24)}
    patches = crop(num_samples=50, foreground_fraction=1.0)(item)
    assert len({int(patch["image"][0, 0, 0]) for patch in patches}) > 30


def test_patch_is_centred_and_stays_inside():
    patches = crop(spatial_size=(7, 7), num_samples=200, foreground_fraction=1.0)(volume())
    assert {tuple(patch["image"].shape) for patch in patches} == {(1, 7, 7)}
    assert {int(patch["image"][0, 0, 0]) for patch in patches} == {0, 2, 49}  # around (3, 3), (3, 5), (5, 4)


def test_image_and_label_are_cut_alike():
    patches = crop(spatial_size=(5, 5), num_samples=20, foreground_fraction=1.0)(volume())
    assert all(bool((patch["image"][patch["label"] == 2] == 124).all()) for patch in patches)


def test_larger_patch_is_cut_to_the_volume():
    assert crop(spatial_size=(32, 8))(volume())[0]["image"].shape == (1, 24, 8)


def test_cached_indices_give_the_same_patches():
    item = ClassesToIndicesd("label", num_classes=3)(volume())
    options = {"spatial_size": (3, 3), "num_samples": 10, "foreground_fraction": 1.0}
    found, cached = crop(**options)(volume()), crop(**options, indices_key="label_cls_indices")(item)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(found, cached, strict=True))


def test_shared_size_and_count_are_read_at_call_time():
    size, count = PatchSize((8, 8)), PatchCount(1)
    draw = crop(spatial_size=size, num_samples=count)
    size.set((4, 2))
    count.set(3)
    assert [tuple(patch["label"].shape) for patch in draw(volume())] == [(1, 4, 2)] * 3


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_fraction_outside_of_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match="foreground_fraction must be between 0 and 1"):
        crop(foreground_fraction=fraction)
