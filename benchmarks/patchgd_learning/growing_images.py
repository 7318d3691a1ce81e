"""The images of the study: UltraMNIST of real MNIST digits, single digits first and then sums; their coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from monai_patchgrow.data import UltraMNIST, read_digits

__all__ = [
    "DIGITS_FIRST",
    "DIGIT_PIXELS",
    "PAPERS_DIGITS",
    "SIZE",
    "SUMS_ALONE",
    "Stage",
    "draw_images",
    "load",
    "shrink",
]

SIZE = 512
DIGIT_PIXELS = (16, 24)
GAP = 32  # pixels between levels: no position of the encoder sees more than a border of both


@dataclass(frozen=True)
class Stage:
    """What a share of the passes is over: images of `size` pixels with so many digits of so many pixels."""

    share: float
    digit_counts: tuple[int, ...]
    size: int
    digit_pixels: tuple[int, int] = DIGIT_PIXELS


DIGITS_FIRST = (Stage(0.5, (1,), 96), Stage(0.15, (1, 2, 3), 192), Stage(0.35, (3, 4, 5), SIZE))
SUMS_ALONE = (Stage(1.0, (3, 4, 5), SIZE),)
PAPERS_DIGITS = (
    Stage(0.6, (1,), 96, (14, 48)),
    Stage(0.25, (1, 2, 3), 256, (14, 126)),
    Stage(0.15, (3, 4, 5), SIZE, (14, 252)),
)


def draw_images(count: int, split: Any, folder: str, *, seed: int, stage: Stage) -> UltraMNIST:
    """The data set of a split of the real digits."""
    digits = read_digits(folder, split)
    return UltraMNIST(
        count, stage.size, seed, digits=digits, digit_pixels=stage.digit_pixels, digit_counts=stage.digit_counts
    )


def load(images: UltraMNIST, indices: Sequence[int], levels: int = 1) -> tuple[Tensor, Tensor]:
    """Images ``(B, 1, size, size)`` uint8, or wider where coarser levels stand beside them, and their sums ``(B,)``."""
    items = [images[index] for index in indices]
    stacked = torch.stack([torch.as_tensor(item["image"]) for item in items])
    return beside_its_levels(stacked, levels), torch.tensor([item["label"] for item in items])


def beside_its_levels(images: Tensor, levels: int) -> Tensor:
    """Square images, and to the right of each, one below another, its levels of half the size, a quarter, and so on.

    A digit of any size is then in one of the levels about as large as the smallest is in the image.

    >>> beside_its_levels(torch.zeros(2, 1, 512, 512, dtype=torch.uint8), 4).shape
    torch.Size([2, 1, 512, 800])
    """
    if levels == 1:
        return images
    size = images.shape[2]
    sizes = [size >> level for level in range(1, levels)]
    rows = max(size, sum(sizes) + GAP * (len(sizes) - 1))
    mosaic = images.new_zeros(*images.shape[:2], rows, size + GAP + sizes[0])
    mosaic[:, :, :size, :size] = images
    row = 0
    for side in sizes:
        mosaic[:, :, row : row + side, size + GAP : size + GAP + side] = shrink(images, side)
        row += side + GAP
    return mosaic


def shrink(images: Tensor, side: int) -> Tensor:
    """Square images at `side` pixels, each the mean of what it covers, linearly weighted."""
    return interpolate(images, size=(side, side), mode="bilinear", antialias=True)
