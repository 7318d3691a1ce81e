"""Reads the figures of a plan: each is what its key needs, or is refused in one line that names the key."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from monai_patchgrow.schedules.arguments import Sizes

__all__ = ["parse_bool", "parse_integer", "parse_levels", "parse_list", "parse_number", "parse_object", "shown"]

_FLOAT32_MAX = 3.4028234663852886e38  # images are float32, and so is what they are normalised with

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


def shown(value: Any) -> str:
    """A value as an error names it: on one line, and cut where it is long.

    >>> shown("two\\nlines"), shown([1, 2, 3])
    ("'two\\\\nlines'", '[1, 2, 3]')
    """
    return _short.repr(value)


def parse_object(value: Any, *, name: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object, got {shown(value)}")
    return value


def parse_list(value: Any, *, name: str, length: int | None = None) -> tuple[Any, ...]:
    """A JSON list, of `length` entries where it is given.

    Raises:
        ValueError: anything else, text too.

    >>> parse_list("321", name="patch_size", length=3)
    Traceback (most recent call last):
    ValueError: patch_size must be a list of 3 entries, got '321'
    """
    if not isinstance(value, (list, tuple)) or (length is not None and len(value) != length):
        entries = "" if length is None else f" of {length} entries"
        raise ValueError(f"{name} must be a list{entries}, got {shown(value)}")
    return tuple(value)


def parse_bool(value: Any, *, name: str) -> bool:
    """A JSON true or false.

    Raises:
        ValueError: anything else, also a number or text that spells it.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return value


def parse_integer(value: Any, *, name: str, maximum: int, minimum: int = 1) -> int:
    """A JSON integer from `minimum` to `maximum`.

    Raises:
        ValueError: a bool, a float, text, or an integer outside of the range.

    >>> parse_integer("$exit()", name="batch_size", maximum=65536)
    Traceback (most recent call last):
    ValueError: batch_size must be an integer from 1 to 65536, got '$exit()'
    """
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ValueError(f"{name} must be an integer from {minimum} to {maximum}, got {shown(value)}")
    return value


def parse_number(value: Any, *, name: str, above: float | None = None) -> int | float:
    """A finite JSON number, as it is written: an integer stays one.

    Args:
        value: of any type.
        name: key that an error names.
        above: what the number must be larger than.

    Raises:
        ValueError: a bool, text, NaN, what float32 doesn't hold, or a number that is too small.

    >>> parse_number(float("nan"), name="std", above=0)
    Traceback (most recent call last):
    ValueError: std must be a finite number above 0, got nan
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # NaN compares as false.
    if not is_number or not -_FLOAT32_MAX <= value <= _FLOAT32_MAX or (above is not None and value <= above):
        legal = "" if above is None else f" above {above}"
        raise ValueError(f"{name} must be a finite number{legal}, got {shown(value)}")
    return value


def parse_levels(value: Any, *, name: str, axes: int, maximum: int) -> tuple[Sizes, ...]:
    """Integers per level and axis of a network, such as strides.

    Args:
        value: a list of lists.
        name: key that an error names.
        axes: entries that each level must have.
        maximum: of an entry; the least one is 1.

    Raises:
        ValueError: anything else.

    >>> parse_levels([[1, 1], [2, 2]], name="strides", axes=2, maximum=16)
    ((1, 1), (2, 2))
    """
    return tuple(
        tuple(
            parse_integer(entry, name=f"{name} on level {level}, axis {axis}", maximum=maximum)
            for axis, entry in enumerate(parse_list(sizes, name=f"{name} on level {level}", length=axes))
        )
        for level, sizes in enumerate(parse_list(value, name=name))
    )
