"""Measures Dice over training time of `constant` and a growing patch on the real MSD Task04.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/task04_curricula.py

160 cases train and 40 validate (fold 0 of the published split), the bundle's full recipe, its network narrowed
and its batch cut by overrides so that two CPU cores do. Curricula take turns (A B A B) within one run of this
script. Writes a dated JSON, Markdown and PNG per number of iterations to benchmarks/results.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
from results_file import table, write_results
from task04 import BUNDLE, PLAN, find_task04

from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.tools.compare.compare import train
from monai_patchgrow.tools.compare.report import Run, dice_table, plot_dice, read_run, summary_json

SETTINGS = {"features": [16, 32, 64, 128], "batch_size": 2, "fold": 0}


def measure(
    data: str | None = None,
    iterations: Sequence[int] = (400, 1500),
    seeds: Sequence[int] = (0, 1),
    curricula: Sequence[str] = ("constant", "efficiency"),
    output_dir: str = "runs/task04_curricula",
    iterations_per_epoch: int = 20,
    num_workers: int = 1,
    name: str = "",
    **overrides: Any,
) -> None:
    """Train every curriculum with every seed for every number of iterations, and write the results.

    Further keys of the bundle's train.json may follow (``--augment False``, ``--mirror_axes []``); `name` then tells
    the results from others. Stages are counted in epochs: an `iterations_per_epoch` that makes the epochs a multiple
    of the stages keeps them equally long.
    """
    settings = {
        **SETTINGS,
        "iterations_per_epoch": iterations_per_epoch,
        "num_workers": num_workers,
        **overrides,
    }
    for number in iterations:
        epochs = number // iterations_per_epoch
        runs = []
        for seed in seeds:
            for curriculum in curricula:
                folder = Path(output_dir) / _title(number, name) / f"{curriculum}_seed{seed}"
                train(
                    BUNDLE,
                    dataset_dir=find_task04(data),
                    cache_dir=Path(output_dir) / "preprocessed",
                    output_dir=folder,
                    curriculum=curriculum,
                    seed=seed,
                    max_epochs=epochs,
                    val_interval=max(1, epochs // 10),
                    **settings,
                )
                runs.append(read_run(folder, label=curriculum))
        _write(_title(number, name), {**settings, "max_epochs": epochs}, list(seeds), runs)


def _title(iterations: int, name: str) -> str:
    return f"task04_{iterations}_iterations" + (f"_{name}" if name else "")


def _write(name: str, settings: dict[str, Any], seeds: list[int], runs: list[Run]) -> None:
    title = f"MSD {name.replace('_', ' ').capitalize()}, {os.cpu_count()} CPU cores"
    summary = _summarise(runs)
    record = {"settings": settings, "seeds": seeds, "summary": summary, "runs": json.loads(summary_json(runs))}
    lines = [
        f"160 cases train, 40 validate (fold 0); settings `{json.dumps(settings)}`; seeds {seeds}, curricula in turn. "
        "Dice of the last epoch.",
        "",
        *_summary_lines(summary, settings["max_epochs"]),
        "",
        "Every run (speed-up over the first):",
        "",
        dice_table(runs),
    ]
    page = write_results(name, title, script="benchmarks/task04_curricula.py", record=record, lines=lines)
    picture = plot_dice(runs, page.with_suffix(".png"), title=title)
    with page.open("a") as text:
        text.write(f"\n![Dice over time]({picture.name})\n")


def _summarise(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Means over the seeds; the share of time is that of each seed's pair, which ran one after the other."""
    labels = list(dict.fromkeys(run.label for run in runs))
    by_label = {label: [run for run in runs if run.label == label] for label in labels}
    first = by_label[labels[0]]
    return {
        label: {
            "dice": round(statistics.mean(run.dice["mean"] for run in group), 4),
            "seconds": round(statistics.mean(run.seconds for run in group), 1),
            "share_of_time": round(
                statistics.mean(b.seconds / a.seconds for a, b in zip(first, group, strict=True)), 3
            ),
            "share_of_voxels": round(
                statistics.mean(b.voxels / a.voxels for a, b in zip(first, group, strict=True)), 3
            ),
        }
        for label, group in by_label.items()
    }


def _summary_lines(summary: dict[str, dict[str, float]], epochs: int) -> list[str]:
    header = ["curriculum", "Dice, mean", "training, s, mean", "share of time", "share of voxels", "planned voxels"]
    rows = []
    for label, figures in summary.items():
        settings = {**PLAN, "batch_size": SETTINGS["batch_size"], "max_epochs": epochs}
        planned = GrowthSchedule.plan(**settings, curriculum=label).relative_voxels
        shares = (f"{share:.2f}" for share in (figures["share_of_time"], figures["share_of_voxels"], planned))
        rows.append([label, f"{figures['dice']:.3f}", f"{figures['seconds']:.0f}", *shares])
    return table(header, rows)


if __name__ == "__main__":
    fire.Fire(measure)
