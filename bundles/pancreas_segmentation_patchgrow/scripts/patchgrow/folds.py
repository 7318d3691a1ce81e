"""The folds of a cross-validation, those of nnU-Net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from .task import Case

__all__ = ["split_cases"]


def split_cases(
    cases: Sequence[Case], *, fold: int | Literal["all"], num_folds: int = 5, seed: int = 12345
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Split cases into those to train on and those to validate on, both sorted by name, as nnU-Net does.

    The folds are those of scikit-learn's `KFold(5, shuffle=True, random_state=12345)` over the sorted names.

    Args:
        cases: in any order.
        fold: from 0; `"all"` trains on all cases and validates on all of them.
        num_folds: at least 2.
        seed: of the shuffle.

    Raises:
        ValueError: there is no such fold, or there are fewer cases than folds.

    Example:
        >>> from pathlib import Path
        >>> train, validation = split_cases([Case(n, Path(n), Path(n)) for n in "abcdefg"], fold=0)
        >>> [case.name for case in validation]
        ['d', 'g']
    """
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    if fold == "all":
        return ordered, ordered
    if num_folds < 2 or len(ordered) < num_folds:
        raise ValueError(f"{len(ordered)} cases do not make {num_folds} folds: fold='all' uses all of them")
    if fold not in range(num_folds):
        raise ValueError(f"fold must be one of 0 to {num_folds - 1} or 'all', got {fold!r}")
    order = np.random.RandomState(seed).permutation(len(ordered))
    held_out = set(np.array_split(order, num_folds)[int(fold)].tolist())
    train = tuple(case for index, case in enumerate(ordered) if index not in held_out)
    return train, tuple(case for index, case in enumerate(ordered) if index in held_out)
