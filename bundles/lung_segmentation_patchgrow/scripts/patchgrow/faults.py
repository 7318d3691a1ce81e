"""What a check finds: a fault is told under its rule, refused at once, or collected with all others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from .errors import DataError
from .rules import RULES

__all__ = ["Fault", "FaultList", "Report", "refuse"]

_logger = logging.getLogger(__name__)

Report = Callable[[str, "str | os.PathLike[str]", str], None]
"""Takes the name of a rule, the file, and what is wrong with it."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one file, by which rule.

    >>> print(Fault("file-empty", "a.nii.gz", "it is empty"))
    a.nii.gz: it is empty
    """

    rule: str
    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.what.split())}"

    @property
    def is_warning(self) -> bool:
        """Whether the data can be used as it is."""
        return RULES[self.rule].is_warning


class FaultList(list[Fault]):
    """The faults found so far; as a `Report` it keeps them all, in order.

    >>> faults = FaultList()
    >>> faults.report("file-empty", "a.nii.gz", "it is empty")
    >>> faults.grave[0].rule
    'file-empty'
    """

    def report(self, rule: str, file: str | os.PathLike[str], what: str) -> None:
        """Keep a fault."""
        self.append(Fault(rule, str(file), what))

    @property
    def grave(self) -> list[Fault]:
        """Those that aren't warnings."""
        return [fault for fault in self if not fault.is_warning]


def refuse(rule: str, file: str | os.PathLike[str], what: str) -> None:
    """The `Report` of whoever needs sound data: raises at the first fault, and leaves warnings to the check.

    Raises:
        DataError: unless the rule is a warning.
    """
    if not (fault := Fault(rule, str(file), what)).is_warning:
        raise DataError(str(fault), rule=rule)
