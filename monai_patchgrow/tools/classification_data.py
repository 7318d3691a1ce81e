"""The images that a classification bundle trains on, validates and classifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from monai_patchgrow.data.digits import read_digits
from monai_patchgrow.data.labelled_images import find_images, read_labelled_images, split_images
from monai_patchgrow.data.ultramnist import UltraMNIST
from monai_patchgrow.tools.one_line import one_line_config_errors

__all__ = ["images_to_classify", "labelled_images", "ultramnist_images"]


def ultramnist_images(
    digits_dir: str | None,
    *,
    num_train: int,
    num_val: int,
    image_size: Sequence[int],
    digit_pixels: tuple[int, int] | None = None,
    seed: int = 0,
) -> tuple[UltraMNIST, UltraMNIST]:
    """Images to train on and to validate on, drawn when they are read, of digits of which none is in both.

    Args:
        digits_dir: folder of MNIST's IDX files; None: scikit-learn's digits.
        num_train: images to train on.
        num_val: images to validate on.
        image_size: rows and columns, the same.
        digit_pixels: see :class:`UltraMNIST`.
        seed: of the images; those to validate on have the next one.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        if len(set(image_size)) != 1:
            raise ValueError(f"image_size of UltraMNIST must have as many rows as columns, got {list(image_size)}")
        digits = [read_digits(digits_dir, split) for split in ("train", "val")]
        pixels = None if digit_pixels is None else (digit_pixels[0], digit_pixels[1])
        train, val = (
            UltraMNIST(number, image_size[0], seed + later, drawings, digit_pixels=pixels)
            for later, (number, drawings) in enumerate(zip((num_train, num_val), digits, strict=True))
        )
        return train, val


def labelled_images(
    dataset_dir: str, *, num_classes: int, fold: int | Literal["all"]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images of a folder to train on and to validate on; see `read_labelled_images` and `split_images`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        return split_images(read_labelled_images(dataset_dir, num_classes), fold=fold)


def images_to_classify(source: str) -> list[dict[str, Any]]:
    """The images of a folder, or a single one; see `find_images`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        return find_images(source)
