"""What is private in MONAI is still there and does what is said of it."""

import warnings

from monai.transforms import Compose, Lambda, LoadImage, RandomizableTransform

from monai_patchgrow.internals.monai import ItemDataset, PreparedDataset, quiet_dicom_readers


class PlusOne(RandomizableTransform):
    def __call__(self, number):
        return number + 1


TWICE, PLUS_ONE = Lambda(lambda number: number * 2, track_meta=False), PlusOne()


class Named(ItemDataset):
    def make_item(self, index):
        return f"item {super().make_item(index)}"


def test_an_item_is_transformed():
    assert ItemDataset([3], TWICE)[0] == 6


def test_an_item_is_made_by_the_subclass():
    assert Named([3], TWICE)[0] == "item 6"


def test_a_slice_is_made_of_such_items():
    assert list(Named([3, 4], TWICE)[:2]) == ["item 6", "item 8"]


def test_deterministic_transforms_end_before_the_first_random_one(tmp_path):
    assert PreparedDataset([3], Compose([TWICE, PLUS_ONE, TWICE]), tmp_path).apply_deterministic(3) == 6


def test_the_others_are_the_random_half(tmp_path):
    assert PreparedDataset([3], Compose([TWICE, PLUS_ONE, TWICE]), tmp_path).apply_random(6) == 14


def test_both_halves_make_an_item(tmp_path):
    assert PreparedDataset([3], Compose([TWICE, PLUS_ONE, TWICE]), tmp_path)[0] == 14


class Counted(PreparedDataset):
    def make_item(self, index):
        return index


def test_a_prepared_item_is_made_by_the_subclass(tmp_path):
    assert Counted([3], TWICE, tmp_path)[0] == 0


def test_readers_keep_quiet_about_what_they_lack(caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_dicom_readers()
        LoadImage()
    assert [str(warning.message) for warning in caught] == []
    assert caplog.text == ""
