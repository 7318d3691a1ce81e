"""What the runs reached, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from growing_images import DIGIT_PIXELS, SIZE
from results_file import table
from ways import GROUPS, PATCH, PATCHGD, SHARE, SHRINK, STRIDE

__all__ = ["page_lines"]

_Run = Mapping[str, Any]
_HEADER = ("passes", "way", "accuracy", "each seed", "mean error", "CPU minutes", "MiB")
_ABOUT = {
    "compared": (
        "Beside gradient descent",
        f"Images of {SIZE} px with 3 to 5 digits of {DIGIT_PIXELS[0]} to {DIGIT_PIXELS[1]} px from real MNIST. Patches "
        f"of {PATCH} px, {STRIDE} px apart, in {SHARE} chunks; the shrunk image has {SIZE // SHRINK} px. Memory: what "
        "autograd keeps at most at a time.",
    ),
    "options": ("By its options", "Each differs from PatchGD in what its name says."),
    "range": (
        "The paper's range of digits",
        f"Digits of 14 to 252 px in images of {SIZE} px; the first way has three coarser levels of an image beside it.",
    ),
}


def page_lines(runs: Sequence[_Run]) -> list[str]:
    """A section with a table for each group of ways; PatchGD with as many passes stands above its options."""
    lines: list[str] = []
    for group, ways in GROUPS.items():
        own = [run for run in runs if run["way"] in ways]
        passes = sorted({run["passes"] for run in own}, reverse=True)
        names = [PATCHGD, *ways] if group == "options" else list(ways)
        rows = [
            [count, name, *_figures(found)]
            for count in passes
            for name in names
            if (found := [run for run in runs if (run["way"], run["passes"]) == (name, count)])
        ]
        if rows:
            title, text = _ABOUT[group]
            lines += ["", f"## {title}", "", text, "", *table(_HEADER, rows)]
    return lines


def _figures(runs: Sequence[_Run]) -> list[str]:
    last = [run["marks"][-1] for run in sorted(runs, key=lambda run: run["seed"])]
    return [
        f"{statistics.mean(mark['accuracy'] for mark in last):.1%}",
        ", ".join(f"{mark['accuracy']:.1%}" for mark in last),
        f"{statistics.mean(mark['error'] for mark in last):.2f}",
        f"{statistics.mean(run['cpu_s'] for run in runs) / 60:.0f}",
        f"{statistics.mean(run['saved_mib'] for run in runs):.0f}",
    ]
