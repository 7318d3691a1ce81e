"""What the runs of the study say: Dice per arm and budget, paired differences per case, time to a Dice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap, wilcoxon

__all__ = ["Cell", "Difference", "load_runs", "paired_difference", "seconds_to"]

Run = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """All seeds of one arm at one budget.

    runs: their records, by seed.
    """

    arm: str
    budget: int
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return [run["seed"] for run in self.runs]

    @property
    def dice(self) -> np.ndarray:
        """Mean Dice at the end of each run, ``(seeds,)``."""
        return np.array([run["validations"][-1]["dice"]["mean"] for run in self.runs])

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.dice.mean())

    def case_dice(self, seeds: Sequence[int]) -> np.ndarray:
        """Dice of each case, the mean over its classes and these seeds, ``(cases,)``; NaN where it has no class."""
        runs = [run for run in self.runs if run["seed"] in seeds]
        # A class that is absent from a case has no Dice there.
        tables = [np.array(list(run["cases"].values()), dtype=float) for run in runs]
        return np.ma.masked_invalid(np.stack(tables)).mean(axis=(0, 2)).filled(np.nan)


@dataclass(frozen=True)
class Difference:
    """One arm's Dice minus another's, per case, over the seeds that both have.

    mean, low, high: with the 95 % bootstrap interval over the cases.
    p: of Wilcoxon's signed-rank test, two-sided.
    """

    mean: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f}), p {self.p:.2g}"


def load_runs(folder: Path) -> dict[tuple[str, int], Cell]:
    """Read all runs of a task, by arm and budget."""
    by_cell: dict[tuple[str, int], list[Run]] = {}
    for path in sorted(folder.glob("*_seed*.json")):
        run = json.loads(path.read_text())
        by_cell.setdefault((run["arm"], run["budget_seconds"]), []).append(run)
    return {key: Cell(*key, tuple(sorted(runs, key=lambda run: run["seed"]))) for key, runs in by_cell.items()}


def paired_difference(one: Cell, other: Cell) -> Difference:
    """Compare two cells on the same seeds and the same cases, those that have a Dice."""
    seeds = sorted(set(one.seeds) & set(other.seeds))
    differences = one.case_dice(seeds) - other.case_dice(seeds)
    differences = differences[np.isfinite(differences)]
    interval = bootstrap((differences,), np.mean, n_resamples=10_000, method="BCa", random_state=0)
    low, high = interval.confidence_interval
    return Difference(float(differences.mean()), float(low), float(high), float(wilcoxon(differences).pvalue))


def seconds_to(cell: Cell, dice: float) -> float | None:
    """Calibrated seconds until the mean Dice over the seeds reached a mark at a validation; None where it never did.

    Runs of a cell are validated at the same epochs.
    """
    by_validation = zip(*(run["validations"] for run in cell.runs), strict=True)
    for validations in by_validation:
        if np.mean([one["dice"]["mean"] for one in validations]) >= dice:
            return float(validations[0]["calibrated_seconds"])
    return None
