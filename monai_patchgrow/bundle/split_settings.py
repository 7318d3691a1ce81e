"""Reads the setting that says which fold of a split is trained or evaluated."""

from __future__ import annotations

from typing import Any

from monai_patchgrow.data.tasks.folds import NUM_FOLDS
from monai_patchgrow.data.tasks.split_file import TEST

__all__ = ["parse_fold"]


def parse_fold(value: Any, *, has_file: bool, has_test: bool = False) -> Any:
    """Return the fold that is asked for: a number from 0, or "all"; whether a split_file has it is another question.

    Args:
        value: of the setting.
        has_file: there is a split_file, which may have any folds.
        has_test: "test", the cases that a split_file holds out, may be asked for.

    Raises:
        ValueError: anything else.

    >>> parse_fold(7, has_file=True)
    7
    >>> parse_fold(7, has_file=False)
    Traceback (most recent call last):
    ValueError: fold must be one of 0 to 4 or 'all', got 7
    """
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value == "all" or (is_number and (has_file or value < NUM_FOLDS)) or (has_test and value == TEST):
        return value
    known = "a fold of the split_file, from 0," if has_file else f"one of 0 to {NUM_FOLDS - 1}"
    raise ValueError(f"fold must be {known} or 'all', got {value!r}")
