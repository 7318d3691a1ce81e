"""Sets finished runs of a PatchGD bundle side by side: a table, and a picture of kappa, memory and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_patchgrow.tools.compare.figure import new_figure, save_png

__all__ = ["EvidencePicture", "PatchGDRun", "plot_runs", "result_table"]

_MIB = 2**20


@dataclass(frozen=True)
class PatchGDRun:
    """What one training run measured.

    label: what the run is called.
    history: one record per epoch (see :class:`monai_patchgrow.handlers.PatchGDLog`); none of a run that only measured
        its memory.
    peak_bytes: peak memory of its training.
    """

    label: str
    history: tuple[dict[str, Any], ...]
    peak_bytes: int

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The records of the epochs that were validated."""
        return [record for record in self.history if record["metrics"]]


@dataclass(frozen=True)
class EvidencePicture:
    """An evidence map, and where the tumour is.

    path: of the PNG.
    tumour: where it is, ``(rows, columns)`` bool, of any size; None where that isn't known.
    title: above the picture.
    """

    path: Path
    tumour: np.ndarray[Any, Any] | None
    title: str


def result_table(runs: Sequence[PatchGDRun]) -> str:
    """A Markdown table, one row per run: last validation, seconds of training, peak memory.

    >>> record = {"total_seconds": 20.0, "metrics": {"val_kappa": 0.85, "val_accuracy": 0.5}}
    >>> print(result_table([PatchGDRun("PatchGD", (record,), 50 * 2**20), PatchGDRun("whole", (), 900 * 2**20)]))
    | training | kappa | accuracy | training, s | peak memory, MiB |
    | --- | --- | --- | --- | --- |
    | PatchGD | 0.850 | 0.500 | 20 | 50 |
    | whole | one step | | | 900 |
    """
    rows = [["training", "kappa", "accuracy", "training, s", "peak memory, MiB"], ["---"] * 5]
    for run in runs:
        memory = f"{run.peak_bytes / _MIB:.0f}"
        if not run.validations:
            rows.append([run.label, "one step", "", "", memory])
            continue
        metrics, seconds = run.validations[-1]["metrics"], run.history[-1]["total_seconds"]
        rows.append(
            [run.label, f"{metrics['val_kappa']:.3f}", f"{metrics['val_accuracy']:.3f}", f"{seconds:.0f}", memory]
        )
    return "\n".join(" ".join(f"| {cell}" if cell else "|" for cell in row) + " |" for row in rows)


def plot_runs(
    runs: Sequence[PatchGDRun], path: str | Path, *, evidence: EvidencePicture | None = None, title: str = ""
) -> Path:
    """Draw the runs' kappa over seconds, their peak memory, and an evidence map, to a PNG.

    Raises:
        ValueError: matplotlib is missing.
    """
    figure = new_figure(13, 4)
    panels = figure.subplots(1, 3 if evidence else 2, width_ratios=[2, 1, 1.6][: 3 if evidence else 2])
    kappa, memory = panels[:2]
    for number, run in enumerate(runs):
        seconds = [0.0, *(record["total_seconds"] for record in run.validations)]
        kappas = [0.0, *(record["metrics"]["val_kappa"] for record in run.validations)]
        if run.validations:
            kappa.plot(seconds, kappas, "o-", ms=4, color=f"C{number}", label=run.label)
        bar = memory.bar(number, run.peak_bytes / _MIB, color=f"C{number}", label=run.label)
        memory.bar_label(bar, fmt="%.0f")
    kappa.set(xlabel="seconds of training", ylabel="quadratic weighted kappa, validation", title=title)
    kappa.set_ylim(-0.25, 1.05)
    kappa.grid(alpha=0.3)
    kappa.legend(loc="upper left")
    memory.set(ylabel="peak memory of training, MiB", xticks=[], yscale="log")
    memory.legend(loc="upper left", fontsize="x-small")
    memory.margins(y=0.6)
    if evidence:
        _draw_evidence(panels[2], evidence)
    return save_png(figure, Path(path))


def _draw_evidence(panel: Any, evidence: EvidencePicture) -> None:
    with Image.open(evidence.path) as picture:
        pixels = np.asarray(picture)
    panel.imshow(pixels)
    if evidence.tumour is not None:
        rows, columns = (
            (np.arange(count) + 0.5) * side / count - 0.5
            for count, side in zip(evidence.tumour.shape, pixels.shape[:2], strict=True)
        )
        panel.contour(columns, rows, evidence.tumour.astype(float), levels=[0.5], colors="black", linewidths=1)
    panel.set(xticks=[], yticks=[], title=evidence.title)
