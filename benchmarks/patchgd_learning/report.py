"""What the runs reached, as tables and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from growing_images import DIGIT_PIXELS, SIZE
from results_file import table
from ways import GROUPS, PATCH, PATCHGD, SHARE, SHRUNK_SIZE, STRIDE

from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["draw", "page_lines"]

_Run = Mapping[str, Any]
_HEADER = ("passes", "way", "accuracy", "each seed", "mean error", "CPU minutes", "MiB")
_ABOUT = {
    "compared": (
        "Beside gradient descent",
        f"Images of {SIZE} px with 3 to 5 digits of {DIGIT_PIXELS[0]} to {DIGIT_PIXELS[1]} px from real MNIST. Patches "
        f"of {PATCH} px, {STRIDE} px apart, in {SHARE} chunks; the shrunk image has {SHRUNK_SIZE} px. PatchGD and "
        "gradient descent take the same steps but for rounding. Memory: what autograd keeps at most at a time.",
    ),
    "options": (
        "By its options",
        "Each differs from PatchGD in what its name says. The optimiser steps more often with a stale Z, and there the "
        "encoder's gradient is divided by the chunks of a step, as the authors' is. Chunks are those of an image of "
        f"{SIZE} px; single digits, in the first half of the passes, are one chunk.",
    ),
    "range": (
        "The paper's range of digits",
        f"Digits of 14 to 252 px in images of {SIZE} px; the first way has three coarser levels of an image beside it.",
    ),
}


def page_lines(runs: Sequence[_Run]) -> list[str]:
    """A section with a table for each group of ways that has been run."""
    lines: list[str] = []
    for group, own in _by_group(runs).items():
        rows = [
            [count, name, *_figures(found)]
            for count in sorted({run["passes"] for run in own}, reverse=True)
            for name in GROUPS[group]
            if (found := [run for run in own if (run["way"], run["passes"]) == (name, count)])
        ]
        title, text = _ABOUT[group]
        lines += ["", f"## {title}", "", text, "", *table(_HEADER, rows)]
    return lines


def draw(runs: Sequence[_Run], path: Path) -> Path:
    """Draw accuracy over the processor's minutes: a point at the end of each run, a line on the way there."""
    groups = _by_group(runs)
    shown = [group for group in ("compared", "range") if group in groups]
    figure = new_figure(5 * len(shown), 4.2)
    for axes, group in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for number, way in enumerate(GROUPS[group]):
            own = [run for run in groups[group] if run["way"] == way]
            for run in own:
                minutes = [mark["cpu_s"] / 60 for mark in run["marks"]]
                accuracy = [mark["accuracy"] for mark in run["marks"]]
                axes.plot(minutes, accuracy, lw=0.8, alpha=0.5, color=f"C{number}")
                label = f"{way}, {round(run['saved_mib'])} MiB" if run is own[0] else None
                axes.plot(minutes[-1:], accuracy[-1:], "o", ms=5, color=f"C{number}", label=label)
        axes.set(xlabel="minutes of one CPU core", ylabel="accuracy, validation", ylim=(0, None))
        axes.set_title(_ABOUT[group][0], fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=8)
    return save_png(figure, path)


def _by_group(runs: Sequence[_Run]) -> dict[str, list[_Run]]:
    """The runs of each group that has some; PatchGD with as many passes as its options stands with them."""
    options = {run["passes"] for run in runs if run["way"] in GROUPS["options"] and run["way"] != PATCHGD}
    groups = {
        group: [
            run
            for run in runs
            if run["way"] in ways and (run["way"] != PATCHGD or (run["passes"] in options) == (group == "options"))
        ]
        for group, ways in GROUPS.items()
    }
    return {group: own for group, own in groups.items() if own}


def _figures(runs: Sequence[_Run]) -> list[str]:
    last = [run["marks"][-1] for run in sorted(runs, key=lambda run: run["seed"])]
    return [
        f"{statistics.mean(mark['accuracy'] for mark in last):.1%}",
        ", ".join(f"{mark['accuracy']:.1%}" for mark in last),
        f"{statistics.mean(mark['error'] for mark in last):.2f}",
        f"{statistics.mean(run['cpu_s'] for run in runs) / 60:.0f}",
        f"{statistics.mean(run['saved_mib'] for run in runs):.0f}",
    ]
