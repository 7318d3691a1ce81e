"""The names of cases that a file gives, each checked to be one of the data set's."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from .errors import DataError

__all__ = ["CaseNames", "text_of"]


class CaseNames:
    """The names of a data set's cases, beside which those of a file are held.

    Args:
        file: that gives names.
        known: names of the data set's cases.
        rule: that a fault of the file breaks.

    >>> CaseNames(Path("splits.csv"), ["scan_1"], rule="split-file").case("scan1", "line 2")
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: splits.csv: line 2: the data set has no case scan1: did you mean scan_1?
    """

    def __init__(self, file: Path, known: Collection[str], *, rule: str) -> None:
        self.file, self.known, self.rule = file, frozenset(known), rule

    def refuse(self, what: str) -> NoReturn:
        """Raise a DataError that names the file."""
        raise DataError(f"{self.file}: {what}", rule=self.rule)

    def case(self, value: Any, where: str) -> str:
        """The name in a cell.

        Raises:
            DataError: there is none, or the data set has no such case.
        """
        if not (name := text_of(value)):
            self.refuse(f"{where}: no case: write its name")
        if name not in self.known:
            close = difflib.get_close_matches(name, sorted(self.known), 1)
            hint = f"did you mean {close[0]}?" if close else "take it out"
            self.refuse(f"{where}: the data set has no case {name}: {hint}")
        return name

    def cases(self, values: Any, where: str) -> frozenset[str]:
        """The names in a list.

        Raises:
            DataError: it is no list, or names a case that the data set hasn't, or one twice.
        """
        if not isinstance(values, list):
            self.refuse(f"{where} must be a list of cases, got {values!r}")
        found = set[str]()
        for value in values:
            if (name := self.case(value, where)) in found:
                self.refuse(f"{where}: lists case {name} twice: keep one")
            found.add(name)
        return frozenset(found)


def text_of(value: Any) -> str:
    """What stands in a cell; empty where nothing does.

    >>> text_of(None), text_of(" a "), text_of(3)
    ('', 'a', '3')
    """
    return "" if value is None else str(value).strip()
