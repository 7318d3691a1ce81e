"""What the files of a data set's items are, so that two runs, or two ranks of one, can compare theirs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["describe_cases", "describe_split", "files_of"]

_DIGITS = 12  # of the digest


def files_of(item: Any) -> Any:
    """Return an item with name and size in the place of each file.

    >>> files_of({"image": ["nowhere.nii"], "label": 2})
    {'image': ['nowhere.nii'], 'label': 2}
    """
    if isinstance(item, Mapping):
        return {key: files_of(part) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        return [files_of(part) for part in item]
    is_file = isinstance(item, (str, os.PathLike)) and os.path.isfile(item)
    return f"{Path(item).name} of {os.path.getsize(item)} bytes" if is_file else item


def describe_cases(training: Sequence[Any], validation: Sequence[Any]) -> str:
    """Return how many cases there are, and a digest of their files' names and sizes and of the split.

    >>> describe_cases([{"image": "a.nii"}], [{"image": "b.nii"}])
    '1 to train on and 1 to validate on, of digest 0f11fb556b9b'
    """
    return _describe([files_of(item) for item in training], [files_of(item) for item in validation])


def describe_split(training: Sequence[str], validation: Sequence[str]) -> str:
    """Return how many cases there are, and a digest of their names on either side, in any order.

    >>> describe_split(["1", "3"], ["2"]) == describe_split(["3", "1"], ["2"]) != describe_split(["1", "2"], ["3"])
    True
    """
    return _describe(sorted(training), sorted(validation))


def _describe(training: Sequence[Any], validation: Sequence[Any]) -> str:
    text = "\n".join(map(str, (*training, "validation", *validation)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{len(training)} to train on and {len(validation)} to validate on, of digest {digest}"
