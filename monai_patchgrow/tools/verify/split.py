"""Checks a split of one's own beside the data set that it is of."""

from __future__ import annotations

import os
from collections.abc import Collection

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.faults import Report
from monai_patchgrow.data.tasks.folds import NUM_FOLDS
from monai_patchgrow.data.tasks.split_file import read_split_file

__all__ = ["check_split"]


def check_split(split_file: str | os.PathLike[str], names: Collection[str], report: Report) -> dict[str, str]:
    """Report what is wrong with a split.

    Args:
        split_file: see `read_split_file`.
        names: of the data set's cases.
        report: is told the first fault.

    Returns:
        The summary's row of a sound split; no row of another.
    """
    try:
        split = read_split_file(split_file, names)
    except DataError as error:
        report(error.rule or "split-file", split_file, str(error).removeprefix(f"{split_file}: "))
        return {}
    unit = "patients" if split.patients else "cases"
    groups = len({split.patients.get(name, name) for name in split.used})
    folds = f"folds {', '.join(map(str, sorted(split.folds)))}" if split.folds else f"{min(groups, NUM_FOLDS)} folds"
    left = len(names) - len(split.used) - len(split.test)
    return {"split": f"{folds} of {groups} {unit}; held out {len(split.test)}, left out {left}"}
