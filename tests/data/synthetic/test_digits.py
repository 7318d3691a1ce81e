from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_patchgrow.data import DataError
from monai_patchgrow.data.synthetic.digits import read_digits

DEFAULT_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def idx(values):
    header = np.array([2048 + values.ndim, *values.shape], ">u4")
    return header.tobytes() + values.astype(np.uint8).tobytes()


def write_digits(folder, prefix="", *, count=50, first=0, packed=True):
    """Digits 0, 1, ..., 9, 0, ... whose first pixel is their number."""
    numbers = np.arange(first, first + count)
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, 0] = numbers
    for name, values in (("images-idx3", images), ("labels-idx1", numbers % 10)):
        content = idx(values)
        (folder / f"{prefix}{name}-ubyte{'.gz' if packed else ''}").write_bytes(
            gzip.compress(content) if packed else content
        )
    return folder


def numbers_of(folder, split):
    return read_digits(folder, split)[0][:, 0, 0].tolist()


@pytest.mark.parametrize("packed", [True, False])
def test_every_fifth_digit_of_each_kind_is_for_validation(tmp_path, packed):
    folder = write_digits(tmp_path, packed=packed)
    assert numbers_of(folder, "val") == list(range(40, 50))
    assert numbers_of(folder, "train") == list(range(40))


def test_types(tmp_path):
    images, labels = read_digits(write_digits(tmp_path))
    assert (images.shape, images.dtype) == ((40, 28, 28), torch.uint8)
    assert labels.dtype == torch.int64
    assert labels[:11].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_mnists_own_split_is_kept(tmp_path):
    write_digits(tmp_path, "train-", count=20)
    write_digits(tmp_path, "t10k-", count=10, first=100)
    assert numbers_of(tmp_path, "train") == list(range(20))
    assert numbers_of(tmp_path, "val") == list(range(100, 110))


def test_a_file_and_its_packed_copy_count_once(tmp_path):
    write_digits(tmp_path, packed=True)
    write_digits(tmp_path, packed=False)
    assert len(numbers_of(tmp_path, "train")) == 40


def test_the_real_digits():
    folder = Path(os.environ.get("PATCHGROW_DATA", DEFAULT_DATA)) / "mnist"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set PATCHGROW_DATA to the folder that holds mnist")
    (train, train_labels), (val, val_labels) = read_digits(folder, "train"), read_digits(folder, "val")
    assert set(train_labels.tolist()) == set(val_labels.tolist()) == set(range(10))
    seen = {image.numpy().tobytes() for image in train}
    assert sum(image.numpy().tobytes() in seen for image in val) == 0


def test_scikit_learns_digits():
    pytest.importorskip("sklearn", reason="needs the extra digits")
    (train, train_labels), (val, _) = read_digits(split="train"), read_digits(split="val")
    assert (len(train), len(val)) == (1442, 355)
    assert train.max() == 255
    assert train_labels[:4].tolist() == [0, 1, 2, 3]
    assert train[:, :4].max() == 0  # MNIST's margin


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"digits without a folder need scikit-learn: .*monai-patchgrow\[digits\]"):
        read_digits()


def test_another_split(tmp_path):
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        read_digits(tmp_path, "test")


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match=r"absent: no such folder"):
        read_digits(tmp_path / "absent")


def test_a_folder_without_digits(tmp_path):
    with pytest.raises(DataError, match=r"no MNIST images; needed are files such as train-images-idx3-ubyte.gz"):
        read_digits(tmp_path)


def damage(folder, kind):
    images, labels = folder / "images-idx3-ubyte.gz", folder / "labels-idx1-ubyte.gz"
    if kind == "no labels":
        labels.unlink()
    elif kind == "cut short":
        images.write_bytes(images.read_bytes()[:-20])
    elif kind == "other file":
        images.write_bytes(gzip.compress(b"\x00\x00\x08\x01" + bytes(100)))
    elif kind == "fewer labels":
        labels.write_bytes(gzip.compress(idx(np.zeros(49))))
    elif kind == "letters":
        labels.write_bytes(gzip.compress(idx(np.full(50, 10))))
    elif kind == "small":
        images.write_bytes(gzip.compress(idx(np.zeros((50, 8, 8)))))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no labels", r"labels-idx1-ubyte.gz: no such file"),
        ("cut short", r"images-idx3-ubyte.gz: can't be read"),
        ("other file", r"images-idx3-ubyte.gz: no whole IDX file of 3 axes of bytes"),
        ("fewer labels", r"labels-idx1-ubyte.gz: 49 labels for 50 images"),
        ("letters", r"labels-idx1-ubyte.gz: labels must be digits from 0 to 9, got 10"),
        ("small", r"images-idx3-ubyte.gz: digits must be 28 x 28 pixels, got \(8, 8\)"),
    ],
)
def test_damaged_files_are_named(tmp_path, kind, message):
    damage(write_digits(tmp_path), kind)
    with pytest.raises(DataError, match=message):
        read_digits(tmp_path)
