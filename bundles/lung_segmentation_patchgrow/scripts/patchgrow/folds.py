"""The folds of a cross-validation: those of nnU-Net, over cases or over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from .task import Case

__all__ = ["NUM_FOLDS", "count_folds", "split_cases"]

NUM_FOLDS = 5
"""As many as nnU-Net makes."""


def split_cases(
    cases: Sequence[Case],
    *,
    fold: int | Literal["all"],
    num_folds: int = NUM_FOLDS,
    seed: int = 12345,
    patients: Mapping[str, str] | None = None,
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Split cases into those to train on and those to validate on, both sorted by name, as nnU-Net does.

    The folds are those of scikit-learn's `KFold(5, shuffle=True, random_state=12345)` over the sorted names of the
    cases, or over those of the patients. Fewer cases, or patients, than folds make as many folds as there are of them.

    Args:
        cases: in any order.
        fold: from 0; `"all"` trains on all cases and validates on all of them.
        num_folds: at least 2.
        seed: of the shuffle.
        patients: patient by the name of the case; all cases of a patient are on one side. Default: each is its own.

    Raises:
        ValueError: there is no such fold, or fewer than two cases, or patients, to split.

    Example:
        >>> from pathlib import Path
        >>> train, validation = split_cases([Case(n, Path(n), Path(n)) for n in "abcdefg"], fold=0)
        >>> [case.name for case in validation]
        ['d', 'g']
    """
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    if fold == "all":
        return ordered, ordered
    group_of = {case.name: case.name if patients is None else patients[case.name] for case in ordered}
    groups = sorted({*group_of.values()})
    num_folds = count_folds(len(groups), of="case" if patients is None else "patient", num_folds=num_folds)
    if fold not in range(num_folds):
        raise ValueError(f"fold must be one of 0 to {num_folds - 1} or 'all', got {fold!r}")
    order = np.random.RandomState(seed).permutation(len(groups))
    held_out = {groups[place] for place in np.array_split(order, num_folds)[int(fold)]}
    train = tuple(case for case in ordered if group_of[case.name] not in held_out)
    return train, tuple(case for case in ordered if group_of[case.name] in held_out)


def count_folds(count: int, *, of: str = "case", num_folds: int = NUM_FOLDS) -> int:
    """The number of folds that so many cases make: one each, where there are fewer of them than folds.

    Args:
        count: how many there are.
        of: what is counted, in the singular.
        num_folds: that are wanted, at least 2.

    Raises:
        ValueError: there are not even two, or not even two folds are wanted.

    >>> count_folds(3), count_folds(30)
    (3, 5)
    """
    if num_folds < 2:
        raise ValueError(f"num_folds must be at least 2, got {num_folds}")
    if count < 2:
        counted = f"{count} {of}" if count == 1 else f"{count} {of}s"
        raise ValueError(f"{counted} can't be split into folds: fold='all' trains and validates on the same")
    return min(count, num_folds)
