"""The images of the study: UltraMNIST of real MNIST digits, single digits first and then sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monai_patchgrow.data import UltraMNIST, read_digits

__all__ = ["DIGITS_FIRST", "DIGIT_PIXELS", "SIZE", "SUMS_ALONE", "Stage", "draw_images", "load"]

SIZE = 512
DIGIT_PIXELS = (16, 24)


@dataclass(frozen=True)
class Stage:
    """What a share of the passes is over: images of `size` pixels with so many digits."""

    share: float
    digit_counts: tuple[int, ...]
    size: int


DIGITS_FIRST = (Stage(0.5, (1,), 96), Stage(0.15, (1, 2, 3), 192), Stage(0.35, (3, 4, 5), SIZE))
SUMS_ALONE = (Stage(1.0, (3, 4, 5), SIZE),)


def draw_images(count: int, split: Any, folder: str, *, seed: int, stage: Stage) -> UltraMNIST:
    """The data set of a split of the real digits."""
    digits = read_digits(folder, split)
    return UltraMNIST(
        count, stage.size, seed, digits=digits, digit_pixels=DIGIT_PIXELS, digit_counts=stage.digit_counts
    )


def load(images: UltraMNIST, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images ``(B, 1, size, size)`` uint8 and their sums ``(B,)``."""
    items = [images[index] for index in indices]
    stacked = torch.stack([torch.as_tensor(item["image"]) for item in items])
    return stacked, torch.tensor([item["label"] for item in items])
