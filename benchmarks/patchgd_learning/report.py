"""What the runs reached, as tables and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from growing_images import DIGIT_PIXELS, SIZE
from results_file import table
from ways import GROUPS, PATCH, PATCHGD, SHARE, SHRINK, STRIDE

from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["draw", "page_lines"]

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


def draw(runs: Sequence[_Run], path: Path) -> Path:
    """Draw accuracy over the processor's minutes: a point at the end of each run, a line on the way there."""
    figure = new_figure(10, 4.2)
    panels = figure.subplots(1, 2)
    for axes, group in zip(panels, ("compared", "range"), strict=True):
        for number, way in enumerate(GROUPS[group]):
            own = [run for run in runs if run["way"] == way]
            for run in own:
                minutes = [mark["cpu_s"] / 60 for mark in run["marks"]]
                accuracy = [mark["accuracy"] for mark in run["marks"]]
                axes.plot(minutes, accuracy, lw=0.8, alpha=0.5, color=f"C{number}")
                label = f"{way}, {round(run['saved_mib'])} MiB" if run is own[0] else None
                axes.plot(minutes[-1:], accuracy[-1:], "o", ms=5, color=f"C{number}", label=label)
        axes.set(xlabel="minutes of one CPU core", ylabel="accuracy, validation", ylim=(0, None))
        axes.set_title(_ABOUT[group][0], fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize=8)
    return save_png(figure, path)


def _figures(runs: Sequence[_Run]) -> list[str]:
    last = [run["marks"][-1] for run in sorted(runs, key=lambda run: run["seed"])]
    return [
        f"{statistics.mean(mark['accuracy'] for mark in last):.1%}",
        ", ".join(f"{mark['accuracy']:.1%}" for mark in last),
        f"{statistics.mean(mark['error'] for mark in last):.2f}",
        f"{statistics.mean(run['cpu_s'] for run in runs) / 60:.0f}",
        f"{statistics.mean(run['saved_mib'] for run in runs):.0f}",
    ]
