"""What a check of a data set found: as a table to read, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_patchgrow.data.tasks.faults import Fault
from monai_patchgrow.data.tasks.rules import RULES

__all__ = ["DataReport"]


@dataclass(frozen=True)
class DataReport:
    """The faults of a data set, and what it holds.

    folder: of the data set.
    name: of the data set.
    count: what was checked, as "40 cases".
    faults: all that were found, warnings too, by file.
    summary: what the data set holds, line by line, by name.
    """

    folder: Path
    name: str
    count: str
    faults: tuple[Fault, ...]
    summary: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether there is no fault but warnings."""
        return all(fault.is_warning for fault in self.faults)

    @property
    def title(self) -> str:
        """One line.

        >>> DataReport(Path("task"), "Spleen", "40 cases", (Fault("file-empty", "a.nii", "it is empty"),)).title
        'Spleen: 40 cases, 1 fault'
        """
        warnings = sum(fault.is_warning for fault in self.faults)
        counts = {"fault": len(self.faults) - warnings, "warning": warnings}
        told = [f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count]
        return f"{self.name}: {self.count}, {' and '.join(told) or 'no problems found'}"

    def as_table(self) -> str:
        """Title, one line per fault, what mends each rule that was broken, and the summary."""
        rows = [("level", "rule", "file", "what is wrong")]
        rows += [(_level(fault), fault.rule, self._short(fault.file), fault.what) for fault in self.faults]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join((*map(str.ljust, row[:3], widths), row[3])) for row in rows] if self.faults else []
        broken = sorted({fault.rule for fault in self.faults})
        repairs = [f"{rule.ljust(widths[1])}  {_repair(rule)}" for rule in broken]
        held = [f"{key:<9} {value}" for key, value in self.summary.items()]
        parts = [lines, ["what mends it", *repairs] if repairs else []]
        told = "".join("\n".join(["", *part, ""]) for part in parts if part)
        return "\n".join([self.title, *([told] if told else []), *held])

    def as_json(self) -> str:
        """Folder, name, count, "sound", summary, and of each fault level, rule, file, what and repair."""
        faults = [
            {
                "level": _level(one),
                "rule": one.rule,
                "file": one.file,
                "what": one.what,
                "repair": RULES[one.rule].repair,
            }
            for one in self.faults
        ]
        content: dict[str, Any] = {"folder": str(self.folder), "name": self.name, "count": self.count}
        content |= {"sound": self.is_sound, "summary": dict(self.summary), "faults": faults}
        return json.dumps(content, indent=2, ensure_ascii=False)

    def _short(self, file: str) -> str:
        return file.removeprefix(f"{self.folder}/")


def _level(fault: Fault) -> str:
    return "warning" if fault.is_warning else "fault"


def _repair(rule: str) -> str:
    by_itself = " (--repair does)" if RULES[rule].is_harmless else ""
    return RULES[rule].repair + by_itself
