"""Where a benchmark's dated results go, and what they say of the machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def hardware() -> str:
    """One line: device, cores, torch."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{os.cpu_count()} cores, {device}, torch {torch.__version__}"


def write_results(name: str, title: str, *, script: str, record: Mapping[str, Any], lines: Sequence[str]) -> Path:
    """Write ``<date>_<name>.json`` with the record and ``.md`` with the lines; returns the latter's path."""
    date = datetime.date.today().isoformat()
    command = shlex.join([script, *sys.argv[1:]])
    head = {"date": date, "command": command, "hardware": hardware()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{date}_{name}.json").write_text(json.dumps({**head, **record}, indent=1) + "\n")
    text = [f"# {title} ({date})", "", f"`python {command}` on {hardware()}.", "", *lines, ""]
    page = RESULTS / f"{date}_{name}.md"
    page.write_text("\n".join(text))
    return page


def median_and_range(values: Sequence[float]) -> str:
    """The median of ratios, and their range behind it.

    >>> median_and_range([1.0, 3.0, 1.5])
    '1.50 (1.00 to 3.00)'
    """
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table, line by line."""
    return [f"| {' | '.join(map(str, row))} |" for row in (header, ["---"] * len(header), *rows)]
