"""UltraMNIST: large images of a few handwritten digits, small and large, whose sum is the class.

Source: Gupta et al., "Patch Gradient Descent: Training Neural Networks on Very Large Images", arXiv 2301.13817.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from monai_patchgrow.data.synthetic.digits import read_digits
from monai_patchgrow.schedules.arguments import parse_int

__all__ = ["DIGIT_COUNTS", "NUM_SUMS", "DigitPlace", "UltraMNIST", "parse_digit_counts"]

NUM_SUMS = 28
"""Classes: the sums 0 to 27."""

DIGIT_COUNTS = (3, 4, 5)
"""How many digits an image has, as the authors' have."""

_MOST_DIGITS = 5  # for more, boxes of the largest allowed sizes may find no room
_AUTHORS_SIZE, _AUTHORS_DIGITS = 512, (14, 252)
_FLAT_SHARE = 1 / 3  # of sizes drawn uniformly: the ends of the V are then five times as likely as its middle
_TRIES = 100
_LABELS, _IMAGE = 0, 1  # what a random stream is for


@dataclass(frozen=True)
class DigitPlace:
    """A digit in an image: its value, the number of its drawing, and its box, in shares of the image's side."""

    value: int
    drawing: int
    row: float
    column: float
    side: float

    def box(self, size: int) -> tuple[slice, slice]:
        """Rows and columns in an image of that size, in pixels; boxes apart stay apart at any size."""
        return _span(self.row, self.side, size), _span(self.column, self.side, size)


class UltraMNIST(Dataset[dict[str, Tensor | int]]):
    """Images of 3 to 5 digits of many sizes that don't overlap, bright on black, labelled with their sum, 0 to 27.

    Any 28 images in a row from a multiple of 28 on have all 28 sums, in random order. The digits are one of the
    (unordered) sets of 3 to 5 that make the sum, all equally likely. With other `digit_counts` there are as many sums
    as such sets can make up to 27: of single digits 0 to 9, so that 10 images in a row have all of them.

    The digits' sides follow a V: the smallest and the largest are five times as likely as those halfway. A digit that
    finds no room among the others gets another size, so that large ones become rarer: 7 % of the digits are in the
    largest ninth of sizes, 16 % without that. Each image depends on (seed, index) and the drawings alone, and shows the
    same at every size.

    As in the generator of PatchGD's authors: 28 sums, sets, sizes of 14 to 252 at 512 pixels, black background. Theirs
    enlarges by whole factors without smoothing, this one by any, linearly. The images of the UltraMNIST competition
    have drawn shapes (boards, boxes, circles) behind the digits; those are not reproduced.

    Args:
        num_images: length of the data set; a multiple of 28 is balanced.
        size: rows and columns of the images, pixels.
        seed: of the whole data set.
        digits: images `(N, 28, 28)` uint8 and labels `(N,)`, as `read_digits` gives them, which is also the default.
        digit_pixels: smallest and largest side of a digit, pixels; default 14 and 252 at 512, in proportion at others.
        digit_counts: how many digits an image may have, 1 to 5 each.

    Raises:
        ValueError: no images, a negative seed, sizes or numbers of digits that can't be, or digits that aren't all ten.
        IndexError: an index beyond the data set.

    Example:
        >>> drawings = torch.full((10, 28, 28), 255, dtype=torch.uint8), torch.arange(10)
        >>> item = UltraMNIST(56, 256, digits=drawings)[3]
        >>> item["image"].shape, item["image"].dtype, 0 <= item["label"] <= 27
        (torch.Size([1, 256, 256]), torch.uint8, True)
    """

    def __init__(
        self,
        num_images: int,
        size: int = _AUTHORS_SIZE,
        seed: int = 0,
        digits: tuple[Tensor, Tensor] | None = None,
        *,
        digit_pixels: tuple[int, int] | None = None,
        digit_counts: Sequence[int] = DIGIT_COUNTS,
    ) -> None:
        if num_images < 1 or seed < 0:
            raise ValueError(f"num_images must be 1 or more and seed 0 or more, got {num_images} and {seed}")
        self.num_images, self.size, self.seed = num_images, size, seed
        self._sides = _parse_sides(size, digit_pixels)
        self._sets = _digit_sets(parse_digit_counts(digit_counts))
        self._sums = [total for total, sets in enumerate(self._sets) if sets]
        self._drawings, labels = read_digits() if digits is None else digits
        self._drawings_of = [(labels == value).nonzero()[:, 0].tolist() for value in range(10)]
        if missing := [value for value, drawings in enumerate(self._drawings_of) if not drawings]:
            raise ValueError(f"there must be digits of all ten kinds, got none of {missing}")

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        image = torch.zeros(1, self.size, self.size, dtype=torch.uint8)
        for place in self.places(index):
            rows, columns = place.box(self.size)
            shape = rows.stop - rows.start, columns.stop - columns.start
            drawing = self._drawings[place.drawing][None, None]
            image[:, rows, columns] = interpolate(drawing, size=shape, mode="bilinear", antialias=True)[0]
        return {"image": image, "label": self.label(index)}

    def label(self, index: int) -> int:
        """The sum of the digits of an image, without drawing it."""
        block, place = divmod(self._checked(index), len(self._sums))
        return int(np.random.default_rng([self.seed, _LABELS, block]).permutation(self._sums)[place])

    def places(self, index: int) -> tuple[DigitPlace, ...]:
        """The digits of an image, without drawing it."""
        rng = np.random.default_rng([self.seed, _IMAGE, self._checked(index)])
        sets = self._sets[self.label(index)]
        # in random order: the later a digit is placed, the less room it finds
        values = rng.permutation(sets[rng.integers(len(sets))]).tolist()
        drawings = [int(rng.choice(self._drawings_of[value])) for value in values]
        boxes = _draw_boxes(rng, len(values), *self._sides)
        return tuple(DigitPlace(v, d, *box) for v, d, box in zip(values, drawings, boxes, strict=True))

    def _checked(self, index: int) -> int:
        if not -self.num_images <= index < self.num_images:
            raise IndexError(f"index {index} of a data set of {self.num_images} images")
        return index % self.num_images


def _parse_sides(size: int, digit_pixels: tuple[int, int] | None) -> tuple[float, float]:
    """Smallest and largest side of a digit, in shares of the image's."""
    smallest, largest = digit_pixels or tuple(pixels * size / _AUTHORS_SIZE for pixels in _AUTHORS_DIGITS)
    if not 1 <= smallest <= largest <= size / 2 or smallest > size / 4:
        raise ValueError(
            "digits must measure 1 pixel or more, the smallest up to a quarter and the largest up to a half of the "
            f"image's {size} pixels, got {smallest:g} to {largest:g}"
        )
    return smallest / size, largest / size


def parse_digit_counts(value: Sequence[int], *, name: str = "digit_counts") -> tuple[int, ...]:
    """Return numbers of digits, each once, ascending.

    Raises:
        ValueError: no list of integers from 1 to 5.

    >>> parse_digit_counts([3, 1, 3])
    (1, 3)
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a list of how many digits an image may have, as [3,4,5], got {value!r}")
    return tuple(sorted({parse_int(count, name=name, maximum=_MOST_DIGITS) for count in value}))


@cache
def _digit_sets(counts: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """For each sum the sets of so many digits that make it."""
    sets: list[list[tuple[int, ...]]] = [[] for _ in range(NUM_SUMS)]
    for count in counts:
        for values in combinations_with_replacement(range(10), count):
            if sum(values) < NUM_SUMS:
                sets[sum(values)].append(values)
    return sets


def _draw_boxes(rng: np.random.Generator, count: int, smallest: float, largest: float) -> list[tuple[float, ...]]:
    """Rows, columns and sides of boxes in the unit square, apart from each other."""
    boxes: list[tuple[float, ...]] = []
    tries = 0
    while len(boxes) < count:
        if tries == _TRIES:  # no room any more: from the start
            boxes, tries = [], 0
        tries += 1
        side = smallest + (largest - smallest) * _draw_v(rng)
        row, column = (rng.random(2) * (1 - side)).tolist()
        if all(_apart(row, side, r, s) or _apart(column, side, c, s) for r, c, s in boxes):
            boxes.append((row, column, side))
    return boxes


def _draw_v(rng: np.random.Generator) -> float:
    """A number from 0 to 1 whose density is a V: five times as high at the ends as in the middle."""
    if rng.random() < _FLAT_SHARE:
        return rng.random()
    distance = np.sqrt(rng.random()) / 2
    return 0.5 + (distance if rng.random() < 0.5 else -distance)


def _apart(start: float, side: float, other: float, other_side: float) -> bool:
    return start + side <= other or other + other_side <= start


def _span(start: float, side: float, size: int) -> slice:
    low = round(start * size)
    return slice(low, max(round((start + side) * size), low + 1))
