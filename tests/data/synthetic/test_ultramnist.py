from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from monai_patchgrow.data.synthetic.ultramnist import UltraMNIST


@pytest.fixture(scope="module")
def digits():
    """Two drawings of each digit: full boxes, whose brightness tells the digit."""
    labels = torch.arange(10).repeat(2)
    return ((labels + 1) * 10).to(torch.uint8).reshape(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels


def test_items(digits):
    item = UltraMNIST(3, 96, 0, digits)[1]
    assert (item["image"].shape, item["image"].dtype) == ((1, 96, 96), torch.uint8)
    assert isinstance(item["label"], int)


def test_a_loader_collates_them(digits):
    batch = next(iter(DataLoader(UltraMNIST(4, 64, 0, digits), batch_size=4)))
    assert batch["image"].shape == (4, 1, 64, 64)
    assert batch["label"].dtype == torch.int64


def test_the_label_is_the_sum_of_what_is_seen(digits):
    dataset = UltraMNIST(40, 256, 3, digits)
    for index in range(40):
        seen = Counter(dataset[index]["image"].unique().tolist()[1:])
        places = dataset.places(index)
        assert set(seen) == {(place.value + 1) * 10 for place in places}
        assert sum(place.value for place in places) == dataset[index]["label"]


def test_three_to_five_digits(digits):
    dataset = UltraMNIST(280, 512, 0, digits)
    assert {len(dataset.places(index)) for index in range(280)} == {3, 4, 5}


def test_all_sums_are_there_equally_often(digits):
    dataset = UltraMNIST(84, 64, 0, digits)
    counts = Counter(dataset.label(index) for index in range(84))
    assert counts == dict.fromkeys(range(28), 3)


def test_the_order_of_sums_differs_from_block_to_block(digits):
    dataset = UltraMNIST(56, 64, 0, digits)
    assert [dataset.label(i) for i in range(28)] != [dataset.label(i) for i in range(28, 56)]


@pytest.mark.parametrize("size", [64, 101, 512])
def test_boxes_lie_inside_and_apart_at_any_size(digits, size):
    dataset = UltraMNIST(100, size, 0, digits)
    for index in range(100):
        boxes = [place.box(size) for place in dataset.places(index)]
        assert all(0 <= part.start < part.stop <= size for box in boxes for part in box)
        taken = np.zeros((size, size), int)
        for box in boxes:
            taken[box] += 1
        assert taken.max() == 1
        assert len(list(combinations(boxes, 2))) >= 3


def test_the_same_scene_at_every_size(digits):
    assert UltraMNIST(5, 64, 0, digits).places(4) == UltraMNIST(28, 2048, 0, digits).places(4)


def test_bits_depend_on_seed_and_index_alone(digits):
    first = UltraMNIST(30, 128, 7, digits)
    again = UltraMNIST(300, 128, 7, digits)
    again[2]
    assert torch.equal(first[29]["image"], again[29]["image"])
    assert not torch.equal(first[29]["image"], UltraMNIST(30, 128, 8, digits)[29]["image"])


def test_the_global_generators_are_left_alone(digits):
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    UltraMNIST(1, 64, 0, digits)[0]
    assert torch.equal(torch.get_rng_state(), expected)


def test_sides_at_512_pixels(digits):
    dataset = UltraMNIST(600, 512, 0, digits)
    sides = np.array([place.side * 512 for index in range(600) for place in dataset.places(index)])
    assert 14 <= sides.min() < 15
    assert 247 < sides.max() <= 252


def test_the_first_digits_sides_are_a_v(digits):
    """The first digit always finds room: its ninths have the shares 5 4 3 2 1 2 3 4 5 of 29, nearly."""
    dataset = UltraMNIST(2800, 512, 0, digits)
    sides = [dataset.places(index)[0].side * 512 for index in range(2800)]
    shares = np.histogram(sides, bins=np.linspace(14, 252, 10))[0] / 2800
    assert shares == pytest.approx(np.array([5, 4, 3, 2, 1, 2, 3, 4, 5]) / 29, abs=0.025)


def test_digit_pixels(digits):
    dataset = UltraMNIST(20, 1000, 0, digits, digit_pixels=(20, 40))
    sides = [place.side for index in range(20) for place in dataset.places(index)]
    assert 0.02 <= min(sides) <= max(sides) <= 0.04


def test_both_drawings_of_a_digit_are_used(digits):
    dataset = UltraMNIST(56, 64, 0, digits)
    assert len({place.drawing for index in range(56) for place in dataset.places(index)}) == 20


def test_negative_indices_count_from_the_end(digits):
    dataset = UltraMNIST(30, 64, 0, digits)
    assert dataset.places(-1) == dataset.places(29)


@pytest.mark.parametrize("index", [30, -31])
def test_no_such_image(digits, index):
    with pytest.raises(IndexError, match=f"index {index} of a data set of 30 images"):
        UltraMNIST(30, 64, 0, digits)[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 0}, "num_images must be 1 or more and seed 0 or more, got 0 and 0"),
        ({"seed": -1}, "got 1 and -1"),
        ({"size": 32}, "digits must measure 1 pixel or more, .* of the image's 32 pixels, got 0.875 to 15.75"),
        ({"digit_pixels": (20, 40)}, "up to a half of the image's 64 pixels, got 20 to 40"),
        ({"digit_pixels": (10, 5)}, "got 10 to 5"),
    ],
)
def test_arguments_that_cannot_be(digits, options, message):
    with pytest.raises(ValueError, match=message):
        UltraMNIST(**{"num_images": 1, "size": 64, "digits": digits, **options})


def test_digits_of_some_kinds_only(digits):
    images, labels = digits
    with pytest.raises(ValueError, match=r"there must be digits of all ten kinds, got none of \[8, 9\]"):
        UltraMNIST(1, 64, 0, (images[labels < 8], labels[labels < 8]))


def test_by_default_the_digits_are_scikit_learns():
    pytest.importorskip("sklearn", reason="needs the extra digits")
    assert UltraMNIST(1, 64)[0]["image"].max() > 100


def test_single_digits(digits):
    dataset = UltraMNIST(20, 64, 0, digits, digit_counts=(1,))
    assert Counter(dataset.label(index) for index in range(20)) == dict.fromkeys(range(10), 2)
    assert {len(dataset.places(index)) for index in range(20)} == {1}
