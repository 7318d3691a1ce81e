"""Handwritten digits to build images from: MNIST's files where there are some, else those that scikit-learn brings."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from monai_patchgrow.data.errors import DataError

__all__ = ["DIGIT_SIZE", "read_digits"]

DIGIT_SIZE = 28
"""Rows and columns of a digit's image, in pixels, as in MNIST."""

_MARGIN = 4  # of a digit in MNIST: it fills 20 x 20 of the 28 x 28 pixels
_VALIDATION_STEP = 5  # every fifth digit of each kind is for validation
_SKLEARN_MAX = 16
_IMAGES, _LABELS = 2051, 2049  # what IDX files of images and labels begin with


def read_digits(
    folder: str | os.PathLike[str] | None = None, split: Literal["train", "val"] = "train"
) -> tuple[Tensor, Tensor]:
    """Images and labels of handwritten digits, for training or for validation: no digit is in both.

    Where the folder holds both ``train-images...`` and ``t10k-images...``, these are the splits. Otherwise all its
    files are taken together, and so are scikit-learn's 1 797 digits (8 x 8 pixels, enlarged to MNIST's 20 x 20 and
    its margin): every fifth digit of each kind, in the order of the files, is for validation.

    Args:
        folder: with MNIST's IDX files, plain or as .gz; None: scikit-learn's digits.
        split: "train" or "val".

    Returns:
        Images `(N, 28, 28)` uint8, the digit bright on 0; labels `(N,)` int64, 0 to 9.

    Raises:
        DataError: no such files, or files that are no digits.
        ValueError: another split, or scikit-learn isn't installed.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    if folder is None:
        return _every_fifth(*_sklearn_digits(), split)
    files = _image_files(Path(folder))
    own = {"train": [f for f in files if f.name.startswith("train")], "val": [f for f in files if "t10k" in f.name]}
    if all(own.values()):
        return _join(own[split])
    return _every_fifth(*_join(files), split)


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if re.search(r"images[-.]idx3-ubyte(\.gz)?$", path.name))
    plain = {path.name for path in files if path.suffix != ".gz"}
    files = [path for path in files if path.name.removesuffix(".gz") not in plain or path.suffix != ".gz"]
    if not files:
        raise DataError(f"{folder}: no MNIST images; needed are files such as train-images-idx3-ubyte.gz")
    return files


def _join(files: list[Path]) -> tuple[Tensor, Tensor]:
    pairs = [_read_pair(file) for file in files]
    return torch.cat([images for images, _ in pairs]), torch.cat([labels for _, labels in pairs])


def _read_pair(file: Path) -> tuple[Tensor, Tensor]:
    partner = file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1"))
    images, labels = _read_idx(file, _IMAGES), _read_idx(partner, _LABELS)
    if images.shape[1:] != (DIGIT_SIZE, DIGIT_SIZE):
        raise DataError(f"{file}: digits must be {DIGIT_SIZE} x {DIGIT_SIZE} pixels, got {images.shape[1:]}")
    if len(images) != len(labels):
        raise DataError(f"{partner}: {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() > 9:
        raise DataError(f"{partner}: labels must be digits from 0 to 9, got {labels.max()}")
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


def _read_idx(file: Path, magic: int) -> NDArray[np.uint8]:
    """The array in an IDX file: a magic number whose last byte counts the axes, their sizes, bytes."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: can't be read ({error})") from None
    axes = magic % 256
    header = np.frombuffer(content[: 4 * (axes + 1)], ">u4")
    if len(header) <= axes or header[0] != magic or len(content) != 4 * (axes + 1) + int(np.prod(header[1:])):
        raise DataError(f"{file}: no whole IDX file of {axes} axes of bytes")
    return np.frombuffer(content[4 * (axes + 1) :], np.uint8).reshape(header[1:]).copy()


def _sklearn_digits() -> tuple[Tensor, Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError("digits without a folder need scikit-learn: pip install monai-patchgrow[digits]") from None
    values, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(values).float().reshape(-1, 1, 8, 8) * (255 / _SKLEARN_MAX)
    size = DIGIT_SIZE - 2 * _MARGIN
    images = interpolate(small, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 255).round()
    return pad(images[:, 0], [_MARGIN] * 4).to(torch.uint8), torch.from_numpy(labels).long()


def _every_fifth(images: Tensor, labels: Tensor, split: str) -> tuple[Tensor, Tensor]:
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        held_out[(labels == digit).nonzero()[_VALIDATION_STEP - 1 :: _VALIDATION_STEP, 0]] = True
    chosen = held_out if split == "val" else ~held_out
    return images[chosen], labels[chosen]
