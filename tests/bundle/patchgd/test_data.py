"""The images of a classification bundle are found, or one line says why not."""

import logging

import numpy as np
import pytest

from monai_patchgrow.bundle.patchgd.data import images_to_classify, labelled_images, ultramnist_images

GENERATED = {"num_train": 2, "num_val": 1, "image_size": [64, 64]}


@pytest.mark.parametrize("pixels", [[5], 5, "ab", [1, 2, 3]])
def test_digit_pixels_that_are_no_pair(pixels):
    with pytest.raises(ValueError, match=r"^digit_pixels must be the smallest and the largest digit, as \[28,56\]"):
        ultramnist_images(None, digit_pixels=pixels, **GENERATED)


def test_the_log_says_whose_digits_are_drawn(caplog):
    pytest.importorskip("sklearn", reason="the extra is not installed")
    with caplog.at_level(logging.INFO):
        ultramnist_images(None, **GENERATED)
    assert caplog.messages == ["digits: scikit-learn's, no dataset_dir is given"]


def test_images_of_no_size():
    with pytest.raises(ValueError, match=r"^image_size must "):
        ultramnist_images(None, **{**GENERATED, "image_size": None})


@pytest.fixture
def folders(tmp_path):
    """Two folders with an image each."""
    for name in "ab":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}.npy", np.zeros((1, 4, 4), np.uint8))
    return tmp_path / "a", tmp_path / "b"


def test_images_of_a_list(folders):
    first, second = folders
    items = images_to_classify([str(first), str(second / "b.npy")])
    assert [item["name"] for item in items] == ["a", "b"]


def test_images_of_a_list_that_have_one_name(folders):
    first, second = folders
    (second / "b.npy").rename(second / "a.npy")
    with pytest.raises(ValueError, match=r"^dataset_dir: .*a/a\.npy and .*b/a\.npy would both be called a$"):
        images_to_classify([str(first), str(second)])


def test_a_list_to_train_on():
    with pytest.raises(ValueError, match=r"^dataset_dir must be one folder, got \['a', 'b'\]$"):
        labelled_images(["a", "b"], num_classes=2, fold=0)
