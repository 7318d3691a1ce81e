"""Sets finished runs of a PatchGD bundle side by side: a table, and a picture of their error over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["PatchGDRun", "plot_errors", "result_table"]

_MIB = 2**20


@dataclass(frozen=True)
class PatchGDRun:
    """What one training run measured.

    label: what the run is called.
    history: one record per epoch (see :class:`monai_patchgrow.handlers.PatchGDLog`).
    peak_bytes: peak memory of its training.
    """

    label: str
    history: tuple[dict[str, Any], ...]
    peak_bytes: int

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The records of the epochs that were validated."""
        return [record for record in self.history if record["metrics"]]


def result_table(runs: Sequence[PatchGDRun]) -> str:
    """A Markdown table, one row per run: last validation, seconds of training, peak memory.

    >>> record = {"total_seconds": 20.0, "metrics": {"val_accuracy": 0.5, "val_absolute_error": 1.25}}
    >>> print(result_table([PatchGDRun("PatchGD", (record,), 50 * 2**20)]))
    | training | accuracy | mean error of the sum | training, s | peak memory, MiB |
    | --- | --- | --- | --- | --- |
    | PatchGD | 0.500 | 1.25 | 20.0 | 50 |
    """
    rows = [["training", "accuracy", "mean error of the sum", "training, s", "peak memory, MiB"], ["---"] * 5]
    for run in runs:
        last = run.validations[-1]
        accuracy, error = last["metrics"]["val_accuracy"], last["metrics"]["val_absolute_error"]
        seconds, memory = run.history[-1]["total_seconds"], run.peak_bytes / _MIB
        rows.append([run.label, f"{accuracy:.3f}", f"{error:.2f}", f"{seconds:.1f}", f"{memory:.0f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plot_errors(runs: Sequence[PatchGDRun], path: str | Path, *, title: str = "") -> Path:
    """Draw the runs' mean error over epochs, and their peak memory, to a PNG.

    Raises:
        ValueError: matplotlib is missing.
    """
    figure = new_figure(9, 4)
    error, memory = figure.subplots(1, 2, width_ratios=[2, 1])
    for number, run in enumerate(runs):
        epochs = [record["epoch"] for record in run.validations]
        errors = [record["metrics"]["val_absolute_error"] for record in run.validations]
        error.plot(epochs, errors, "o-", ms=4, color=f"C{number}", label=run.label)
        memory.bar(number, run.peak_bytes / _MIB, color=f"C{number}")
    error.set(xlabel="epoch", ylabel="mean error of the sum, validation", title=title)
    error.set_ylim(bottom=0)
    error.grid(alpha=0.3)
    error.legend()
    memory.set(ylabel="peak memory of training, MiB", xticks=[])
    return save_png(figure, Path(path))
