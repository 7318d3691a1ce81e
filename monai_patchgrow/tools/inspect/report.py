"""What was found in a bundle, as lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Finding", "Report", "printable"]

_LONGEST = 160  # characters of what was found that a line shows


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a bundle of ours does not hold.

    file: path in the bundle; a member of an archive stands behind ``!``.
    key: place in the file, as ``train#trainer#_target_``; empty where the whole file is meant.
    what: stands there.
    why: it was found.
    """

    file: str
    key: str
    what: str
    why: str

    def __str__(self) -> str:
        parts = [self.file, self.key, _shortened(self.what), self.why]
        return ": ".join(printable(part) for part in parts if part)

    @property
    def names(self) -> tuple[str, str]:
        """By what a user may trust it: its file, or its file and key.

        >>> Finding("configs/train.json", "run#0", "$exit()", "").names
        ('configs/train.json', 'configs/train.json:run#0')
        """
        return self.file, f"{self.file}:{self.key}"


@dataclass(frozen=True)
class Report:
    """What an inspection found, and how much it read.

    bundle: as the user named it.
    findings: in order of files and keys.
    counts: of files read, by kind.

    >>> print(Report("bundle", (Finding("a.json", "x", "$exit()", "calls exit"),), {"configs": 1}))
    a.json: x: $exit(): calls exit
    bundle: 1 finding in 1 file (1 configs)
    """

    bundle: str
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), self.verdict])

    @property
    def verdict(self) -> str:
        """The last line: how many findings, in what."""
        number = len(self.findings)
        found = f"{number or 'no'} finding{'' if number == 1 else 's'}"
        files = sum(self.counts.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if count)
        return f"{printable(self.bundle)}: {found} in {files} file{'' if files == 1 else 's'} ({kinds})"

    def as_json(self) -> str:
        """The report for machines: ``bundle``, ``findings`` (``file``, ``key``, ``what``, ``why``) and ``counts``."""
        found = [asdict(finding) for finding in self.findings]
        return json.dumps({"bundle": self.bundle, "findings": found, "counts": dict(self.counts)}, indent=4)

    def without(self, trusted: tuple[str, ...]) -> Report:
        """The report without the findings that the user trusts by the name of their file, or file and key."""
        left = tuple(finding for finding in self.findings if not {*finding.names} & {*trusted})
        return Report(self.bundle, left, self.counts)


def printable(text: str) -> str:
    r"""Text in which nothing moves a terminal's cursor or begins a line.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
