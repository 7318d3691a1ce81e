"""Reads finished runs and sets them side by side: a table, and a picture of their Dice over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["Run", "dice_table", "plot_dice", "read_run", "summary_json"]


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
    def dice(self) -> dict[str, float]:
        """Dice of the last validation: the mean over classes, and per class."""
        return dict(self.validations[-1]["dice"])


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


def dice_table(runs: Sequence[Run]) -> str:
    """A Markdown table, one row per run; the speed-up is over the first.

    >>> record = {
    ...     "total_seconds": 20.0,
    ...     "total_voxels": 4000,
    ...     "dice": {"mean": 0.8, "head": 0.9, "tail": 0.7},
    ... }
    >>> print(dice_table([Run("constant", (record,)), Run("efficiency", ({**record, "total_seconds": 8.0},))]))
    | curriculum | training, s | speed-up | voxels, millions | Dice | head | tail |
    | --- | --- | --- | --- | --- | --- | --- |
    | constant | 20.0 | 1.00 | 0.0 | 0.800 | 0.900 | 0.700 |
    | efficiency | 8.0 | 2.50 | 0.0 | 0.800 | 0.900 | 0.700 |
    """
    classes = [name for name in runs[0].dice if name != "mean"]
    header = ["curriculum", "training, s", "speed-up", "voxels, millions", "Dice", *classes]
    rows = [header, ["---"] * len(header)]
    for run in runs:
        speed_up = f"{runs[0].seconds / run.seconds:.2f}"
        dice = [f"{run.dice[name]:.3f}" for name in ("mean", *classes)]
        rows.append([run.label, f"{run.seconds:.1f}", speed_up, f"{run.voxels / 1e6:.1f}", *dice])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary_json(runs: Sequence[Run]) -> str:
    """The runs' figures, and their Dice over time, as JSON."""
    return json.dumps(
        [
            {
                "curriculum": run.label,
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
    axes.set(xlabel="training, s (validation not counted)", ylabel="mean Dice, validation", title=title)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return save_png(figure, Path(path))


def _rounded(dice: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dice.items()}
