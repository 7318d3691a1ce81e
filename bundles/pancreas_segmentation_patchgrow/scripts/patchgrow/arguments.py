"""Arguments of a plan, parsed once: sizes and integers, and how a size is written."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import SupportsIndex

__all__ = ["format_size", "parse_int", "parse_sizes"]

Sizes = tuple[int, ...]

MAX_AXES = 3


def parse_sizes(sizes: Iterable[SupportsIndex], *, name: str, minimum: int = 1) -> Sizes:
    """Return sizes from JSON, NumPy or a tuple as a tuple of ints, one per spatial axis.

    Raises:
        ValueError: not iterable, no axes or more than three, or an entry that is no such integer.

    Example:
        >>> parse_sizes([40, 56, 40], name="patch_size")
        (40, 56, 40)
    """
    try:
        entries = () if isinstance(sizes, str) else tuple(sizes)
    except TypeError:
        entries = ()
    if not entries:
        raise ValueError(f"{name} must hold one integer per spatial axis, like (40, 56, 40), got {sizes!r}")
    if len(entries) > MAX_AXES:
        raise ValueError(f"{name} must have 1 to {MAX_AXES} axes, got {len(entries)}: {entries}")
    return tuple(parse_int(entry, name=f"{name} on axis {axis}", minimum=minimum) for axis, entry in enumerate(entries))


def parse_int(value: SupportsIndex, *, name: str, minimum: int = 1, maximum: int | None = None) -> int:
    """Return an integer of any kind (NumPy's too) as an int from `minimum` to `maximum`.

    Raises:
        ValueError: a bool, a float, a string, or an integer outside of the range.

    Example:
        >>> parse_int(9, name="batch_size")
        9
        >>> parse_int(8.5, name="batch_size")
        Traceback (most recent call last):
        ValueError: batch_size must be an integer of at least 1, got 8.5
    """
    legal = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    fault = ValueError(f"{name} must be an integer {legal}, got {value!r}")
    if isinstance(value, bool):
        raise fault
    try:
        number = operator.index(value)
    except TypeError:
        raise fault from None
    if number < minimum or (maximum is not None and number > maximum):
        raise fault
    return number


def format_size(size: Iterable[int]) -> str:
    """Return a size as people write it.

    Example:
        >>> format_size((40, 56, 40))
        '40x56x40'
    """
    return "x".join(map(str, size))
