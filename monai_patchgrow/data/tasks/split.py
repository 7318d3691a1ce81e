"""The split of a data set: nnU-Net's folds, or what a file of one's own says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from monai_patchgrow.data.tasks.folds import NUM_FOLDS, split_cases
from monai_patchgrow.data.tasks.split_file import FileSplit, read_split_file
from monai_patchgrow.data.tasks.task import Case

__all__ = ["Split", "find_split"]


@dataclass(frozen=True)
class Split:
    """The cases to train on and those to validate on, sorted by name, and what the user should know, a line each."""

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    notes: tuple[str, ...] = ()


def find_split(cases: Sequence[Case], *, fold: int | str, split_file: str | os.PathLike[str] | None = None) -> Split:
    """Split a data set's cases by nnU-Net's folds, or as a file says.

    Args:
        cases: of the data set, in any order.
        fold: from 0; "all" trains and validates on all; "test" validates on the cases that the file holds out.
        split_file: see `read_split_file`; None: nnU-Net's five folds of all cases.

    Raises:
        ValueError: there is no such fold, too few cases, or a file that can't be used.

    >>> from pathlib import Path
    >>> find_split([Case(n, Path(n), Path(n)) for n in "abc"], fold=0).notes
    ('3 cases make 3 folds, not 5',)
    """
    ordered = sorted(cases, key=lambda case: case.name)
    names = frozenset(case.name for case in ordered)
    given = FileSplit("null", frozenset(), names) if split_file is None else read_split_file(split_file, names)
    notes = []
    if left := len(names - given.used - given.test):
        notes.append(f"{given.file} leaves out {left} of the data set's {len(names)} cases: they are not used")
    if (sides := given.sides(fold)) is not None:
        training, validation = (tuple(case for case in ordered if case.name in side) for side in sides)
        return Split(training, validation, tuple(notes))
    used = [case for case in ordered if case.name in given.used]
    patients = {case.name: given.patients[case.name] for case in used} if given.patients else None
    training, validation = split_cases(used, fold=fold, patients=patients)  # type: ignore[arg-type]
    count, of = (len(used), "cases") if patients is None else (len({*patients.values()}), "patients")
    if count < NUM_FOLDS:
        notes.append(f"{count} {of} make {count} folds, not {NUM_FOLDS}")
    return Split(training, validation, tuple(notes))
