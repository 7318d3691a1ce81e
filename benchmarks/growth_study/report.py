"""The study's page per task: tables at equal time, of the time to a Dice, at equal iterations; and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from results_file import table
from statistics_of_runs import Cell, paired_difference, seconds_to

from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["draw", "report_lines"]

_MARKS = (0.95, 0.99)

Cells = Mapping[tuple[str, int], Cell]


def report_lines(cells: Cells) -> list[str]:
    """The page in Markdown."""
    return [
        "## At equal time",
        "",
        "Each run is planned for its seconds. Difference: Dice minus `constant`'s, paired per case over the seeds that "
        "both have; 95 % bootstrap interval over the cases; Wilcoxon's signed-rank test.",
        "",
        *_equal_time(cells),
        "",
        "## Time to a Dice",
        "",
        *_time_to_dice(cells),
        "",
        "## At equal iterations",
        "",
        "Runs of another arm that have between 0.9 and 1.1 of the iterations of a run of `constant`.",
        "",
        *_equal_iterations(cells),
    ]


def draw(cells: Cells, path: Path, *, title: str) -> Path:
    """Draw Dice over the seconds and over the iterations that runs were planned for, and on the way there.

    An arm of which no budget has two seeds says too little for a picture: it stands in the tables alone.
    """
    figure = new_figure(10, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    drawn = {arm for (arm, _), cell in cells.items() if len(cell.seeds) > 1}
    for number, arm in enumerate(arm for arm in _arms(cells) if arm in drawn):
        row = sorted((cell for cell in cells.values() if cell.arm == arm), key=lambda cell: cell.budget)
        for axes, positions in ((left, [c.budget for c in row]), (right, [c.runs[0]["iterations"] for c in row])):
            means = np.array([cell.mean for cell in row])
            spread = np.abs([[c.mean - c.dice.min() for c in row], [c.dice.max() - c.mean for c in row]])
            axes.errorbar(positions, means, yerr=spread, fmt="o--", ms=4, capsize=3, color=f"C{number}", label=arm)
        for run in (run for cell in row for run in cell.runs):
            way = [(one["calibrated_seconds"], one["dice"]["mean"]) for one in run["validations"]]
            left.plot(*zip(*way, strict=True), lw=0.8, alpha=0.5, color=f"C{number}")
    left.set(xlabel="seconds of training on 2 cores (calibrated)", ylabel="mean Dice, validation")
    right.set(xlabel="iterations planned for", xscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    right.legend(loc="lower right", fontsize=8)
    figure.suptitle(f"{title}: points at the end of each plan (mean, lowest, highest seed), lines on the way there")
    return save_png(figure, path)


def _arms(cells: Cells) -> list[str]:
    names = {arm for arm, _ in cells}
    return ["constant", *sorted(names - {"constant"})] if "constant" in names else sorted(names)


def _budgets(cells: Cells) -> list[int]:
    return sorted({budget for _, budget in cells})


def _equal_time(cells: Cells) -> list[str]:
    rows = []
    for budget in _budgets(cells):
        base = cells.get(("constant", budget))
        for arm in _arms(cells):
            if (cell := cells.get((arm, budget))) is None:
                continue
            difference = "" if base is None or cell is base else str(paired_difference(cell, base))
            rows.append([budget, arm, cell.runs[0]["iterations"], *_dice(cell), difference])
    return table(["seconds", "arm", "iterations", "seeds", "Dice, mean (lowest to highest)", "difference"], rows)


def _dice(cell: Cell) -> list[str]:
    return [str(len(cell.seeds)), f"{cell.mean:.3f} ({cell.dice.min():.3f} to {cell.dice.max():.3f})"]


def _time_to_dice(cells: Cells) -> list[str]:
    longest = max(budget for arm, budget in cells if arm == "constant")
    final = cells["constant", longest].mean
    lines = [
        f"The shortest way that was tried, in calibrated seconds, to shares of `constant`'s Dice after {longest} s, "
        f"{final:.3f}: along any run at its validations, and by a run planned to end there.",
        "",
    ]
    header = ["arm", *(f"to {mark:.0%}, along ({mark * final:.3f})" for mark in (*_MARKS, 1.0))]
    header += [f"to {mark:.0%}, planned for" for mark in (*_MARKS, 1.0)]
    rows = []
    for arm in _arms(cells):
        row = [cell for cell in cells.values() if cell.arm == arm]
        along = [_shortest(seconds_to(cell, mark * final) for cell in row) for mark in (*_MARKS, 1.0)]
        ends = [_shortest(cell.budget for cell in row if cell.mean >= mark * final) for mark in (*_MARKS, 1.0)]
        rows.append([arm, *along, *ends])
    return [*lines, *table(header, rows)]


def _shortest(seconds: Iterable[float | None]) -> str:
    reached = [one for one in seconds if one is not None]
    return f"{min(reached):.0f}" if reached else "not reached"


def _equal_iterations(cells: Cells) -> list[str]:
    rows = []
    for base in (cell for cell in cells.values() if cell.arm == "constant"):
        number = base.runs[0]["iterations"]
        for cell in cells.values():
            if cell is not base and cell.arm != "constant" and 0.9 <= cell.runs[0]["iterations"] / number <= 1.1:
                share = cell.runs[0]["calibrated_seconds"] / base.runs[0]["calibrated_seconds"]
                voxels = cell.runs[0]["voxels"] / base.runs[0]["voxels"]
                figures = [f"{base.mean:.3f}", f"{cell.mean:.3f}", str(paired_difference(cell, base))]
                rows.append([number, cell.arm, cell.runs[0]["iterations"], f"{share:.2f}", f"{voxels:.2f}", *figures])
    header = ["iterations of constant", "arm", "its iterations", "share of time", "of voxels", "Dice of constant"]
    return table([*header, "Dice", "difference"], rows)
