"""Puts the draw of a sample into its item, in front of the transforms that read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from monai.transforms import Compose, OneOf, RandomOrder, SomeOf, Transform
from monai.transforms.traits import RandomizableTrait

from monai_patchgrow.schedules.sample import DRAW_KEY, SampleDraw

__all__ = ["CarriedDraw", "carried", "carry_draws", "without_draw"]

_CHOOSING = (OneOf, RandomOrder, SomeOf)  # what they hold is chosen by number: nothing can be put in between


class CarriedDraw(RandomizableTrait, Transform):
    """Adds `draw` to an item, under `DRAW_KEY`; without one it hands the item on as it is.

    A cache's prefix ends in front of it, since it has the trait of a random transform; but it draws nothing, and has
    no state that ``Compose.set_random_state`` would seed, so the seeds of the others stay as they are without it.

    >>> transform = CarriedDraw()
    >>> transform.draw = SampleDraw(index=3)
    >>> transform({"image": 0})["patchgrow_draw"].index
    3
    """

    def __init__(self) -> None:
        self.draw: SampleDraw | None = None

    def __call__(self, data: Any) -> Any:
        """Hand on the item with the draw in it."""
        return {**data, DRAW_KEY: self.draw} if self.draw is not None and isinstance(data, Mapping) else data


def carry_draws(dataset: Any) -> list[CarriedDraw]:
    """Put a :class:`CarriedDraw` in front of each transform of a data set that reads the draw, and return them.

    Args:
        dataset: MONAI's or one that wraps one as ``.dataset``; its pipeline is changed in place, once.

    >>> from monai.data import Dataset
    >>> class Reader(Transform):
    ...     reads_draw = True
    ...
    ...     def __call__(self, item):
    ...         return item["patchgrow_draw"].position
    >>> dataset = Dataset([{}], [Reader()])
    >>> with carried(SampleDraw(index=0, position=7), carry_draws(dataset)):
    ...     dataset[0]
    7
    """
    while not isinstance(getattr(dataset, "transform", None), Compose):
        if not hasattr(dataset, "dataset"):
            return []
        dataset = dataset.dataset
    return list(_carry(dataset.transform))


@contextmanager
def carried(draw: SampleDraw, transforms: list[CarriedDraw]) -> Iterator[None]:
    """Let the transforms add `draw` to each item until the block ends."""
    for transform in transforms:
        transform.draw = draw
    try:
        yield
    finally:
        for transform in transforms:
            transform.draw = None


def without_draw(item: Any) -> Any:
    """The item, or list of items, without a draw that nothing read: a batch is made of the rest."""
    for one in item if isinstance(item, list) else [item]:
        if isinstance(one, dict):
            one.pop(DRAW_KEY, None)
    return item


def _carry(pipeline: Compose) -> Iterator[CarriedDraw]:
    transforms: list[Any] = []
    for transform in pipeline.transforms:
        if isinstance(transform, Compose) and not isinstance(transform, _CHOOSING):
            yield from _carry(transform)
        elif _reads_draw(transform):
            # Another loader of the same data set may have put one here.
            if not transforms or not isinstance(transforms[-1], CarriedDraw):
                transforms.append(CarriedDraw())
            yield transforms[-1]
        transforms.append(transform)
    pipeline.transforms = tuple(transforms)


def _reads_draw(transform: Any) -> bool:
    return getattr(transform, "reads_draw", False) or any(map(_reads_draw, getattr(transform, "transforms", ())))
