"""Reads finished runs and sets them side by side: a table, and a picture of their Dice over time."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.schedules.stage import RANDOM, patch_voxels
from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["Run", "dice_table", "epochs_in_equal_time", "mark_of", "plot_dice", "read_run", "summary_json"]

_MARK = 0.95  # of the first run's Dice at its end


@dataclass(frozen=True)
class Run:
    """What one training run measured.

    label: what the run is called in tables, its curriculum.
    history: one record per epoch (see :class:`monai_patchgrow.handlers.RunLog`).
    """

    label: str
    history: tuple[dict[str, Any], ...]

    @property
    def seconds(self) -> float:
        """Seconds of training, validation not counted."""
        return float(self.history[-1]["total_seconds"])

    @property
    def voxels(self) -> int:
        """Voxels trained on."""
        return int(self.history[-1]["total_voxels"])

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The records of the epochs that were validated."""
        return [record for record in self.history if record["dice"]]

    @property
    def dice(self) -> dict[str, Any]:
        """Dice of the last validation: the mean over classes, and per class; None of a class that no case has."""
        return dict(self.validations[-1]["dice"])

    def seconds_to(self, dice: float) -> float | None:
        """Seconds of training until a validation reached this mean Dice; None where none did."""
        reached = (one["total_seconds"] for one in self.validations if one["dice"]["mean"] >= dice)
        return next(reached, None)


def read_run(folder: str | Path, *, label: str) -> Run:
    """Read the run that was written to `folder`.

    Raises:
        ValueError: no ``history.jsonl`` there, or one without a validation.
    """
    path = Path(folder) / "history.jsonl"
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run wrote no epoch")
    run = Run(label, tuple(read_history(path)))
    if not run.history or not run.validations:
        raise ValueError(f"{path} holds no validation: let the run get to its end")
    return run


def epochs_in_equal_time(run: Run) -> int:
    """Return how many epochs on the full patch take as long as a run took, from the run's own epochs on it.

    Each size of the curriculum ``random`` may come up in any epoch: there the voxels tell what share of the full
    patch's time an epoch took.

    >>> records = [{"patch_size": [8], "seconds": 1.0}, {"patch_size": [16], "seconds": 2.5}]
    >>> records = [{**one, "patches_per_batch": 1, "total_seconds": 3.5, "total_voxels": 0} for one in records]
    >>> epochs_in_equal_time(Run("efficiency", tuple(records)))
    1
    """
    last = run.history[-1]
    full = [record["seconds"] for record in run.history if record["patch_size"] == last["patch_size"]]
    seconds = statistics.median(full)
    if len(full) == len(run.history) and run.label == RANDOM:
        voxels = last["patches_per_batch"] * patch_voxels(last["patch_size"]) * last["iteration"]
        seconds = run.seconds * voxels / run.voxels / len(full)
    return max(1, round(run.seconds / seconds))


def mark_of(runs: Sequence[Run]) -> float:
    """Return the Dice whose time the comparison tells: 95 % of what the first run ended on."""
    return _MARK * runs[0].dice["mean"]


def dice_table(runs: Sequence[Run]) -> str:
    """A Markdown table, one row per run; its last column is the training time until 95 % of the first run's Dice.

    >>> record = {
    ...     "iteration": 40,
    ...     "total_seconds": 20.0,
    ...     "total_voxels": 4000,
    ...     "dice": {"mean": 0.8, "head": 0.9, "tail": 0.7},
    ... }
    >>> print(dice_table([Run("constant", (record,)), Run("efficiency", ({**record, "iteration": 90},))]))
    | curriculum | iterations | training, s | voxels, millions | Dice | head | tail | s to Dice 0.760 |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | constant | 40 | 20.0 | 0.0 | 0.800 | 0.900 | 0.700 | 20.0 |
    | efficiency | 90 | 20.0 | 0.0 | 0.800 | 0.900 | 0.700 | 20.0 |
    """
    classes = [name for name in runs[0].dice if name != "mean"]
    mark = mark_of(runs)
    header = ["curriculum", "iterations", "training, s", "voxels, millions", "Dice", *classes, f"s to Dice {mark:.3f}"]
    rows = [header, ["---"] * len(header)]
    for run in runs:
        dice = ["-" if run.dice[name] is None else f"{run.dice[name]:.3f}" for name in ("mean", *classes)]
        reached = run.seconds_to(mark)
        figures = [str(run.history[-1]["iteration"]), f"{run.seconds:.1f}", f"{run.voxels / 1e6:.1f}"]
        rows.append([run.label, *figures, *dice, "not reached" if reached is None else f"{reached:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary_json(runs: Sequence[Run]) -> str:
    """The runs' figures, and their Dice over time, as JSON."""
    return json.dumps(
        [
            {
                "curriculum": run.label,
                "iterations": run.history[-1]["iteration"],
                "seconds": round(run.seconds, 2),
                "voxels": run.voxels,
                "dice": _rounded(run.dice),
                "validations": [
                    {
                        "epoch": v["epoch"],
                        "seconds": round(v["total_seconds"], 2),
                        "dice": _rounded(v["dice"]),
                    }
                    for v in run.validations
                ],
            }
            for run in runs
        ],
        indent=1,
    )


def plot_dice(runs: Sequence[Run], path: str | Path, *, title: str = "") -> Path:
    """Draw the runs' mean Dice over seconds of training to a PNG; runs of one label share a colour.

    A line marks 95 % of what the first run ended on, and a dot on it the time at which each run reached that.

    Raises:
        ValueError: matplotlib is missing.
    """
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    labels = list(dict.fromkeys(run.label for run in runs))
    for run in runs:
        seconds = [record["total_seconds"] for record in run.validations]
        dice = [record["dice"]["mean"] for record in run.validations]
        first = next(other for other in runs if other.label == run.label) is run
        axes.plot(seconds, dice, "o-", ms=4, color=f"C{labels.index(run.label)}", label=run.label if first else None)
    _draw_mark(axes, runs, colours={label: f"C{number}" for number, label in enumerate(labels)})
    axes.set(xlabel="training, s (validation not counted)", ylabel="mean Dice, validation", title=title)
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1.1 * max(run.seconds for run in runs))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return save_png(figure, Path(path))


def _draw_mark(axes: Any, runs: Sequence[Run], *, colours: dict[str, str]) -> None:
    mark = mark_of(runs)
    axes.axhline(mark, color="0.5", lw=1, ls="--")
    axes.annotate(f"Dice {mark:.3f}", (0, mark), xytext=(4, -11), textcoords="offset points", color="0.3", fontsize=8)
    finals = sorted(run.dice["mean"] for run in runs)
    for run in runs:
        colour, end = colours[run.label], run.validations[-1]
        if (seconds := run.seconds_to(mark)) is not None:
            axes.vlines(seconds, 0, mark, color=colour, lw=1, ls=":")
            axes.annotate(f"{seconds:.0f} s", (seconds, 0), xytext=(3, 4), textcoords="offset points", color=colour)
        above = end["dice"]["mean"] > finals[0] or len(runs) == 1
        place = {"xytext": (4, 4 if above else -12), "textcoords": "offset points"}
        axes.annotate(f"{end['dice']['mean']:.3f}", (end["total_seconds"], end["dice"]["mean"]), color=colour, **place)


def _rounded(dice: dict[str, Any]) -> dict[str, Any]:
    """To four places; None is the Dice of a class that no case has."""
    return {name: None if value is None else round(value, 4) for name, value in dice.items()}
