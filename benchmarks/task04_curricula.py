"""Measures Dice over training time of `constant` and a growing patch on the real MSD Task04.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/task04_curricula.py

160 cases train and 40 validate (fold 0 of the published split), the bundle's full recipe, its network narrowed
and its batch cut by overrides so that two CPU cores do. Curricula take turns (A B A B) within one run of this
script. Writes a dated JSON, Markdown and PNG per number of iterations to benchmarks/results.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
import torch
from task04 import BUNDLE, ROOT, find_task04

from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.tools.compare import train
from monai_patchgrow.tools.report import Run, dice_table, plot_dice, read_run, summary_json

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
    date = datetime.date.today().isoformat()
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    title = f"MSD {name.replace('_', ' ').capitalize()}, {os.cpu_count()} CPU cores"
    picture = plot_dice(runs, results / f"{date}_{name}.png", title=title)
    record = {
        "date": date,
        "script": "benchmarks/task04_curricula.py",
        "hardware": f"{os.cpu_count()} cores {platform.machine()}, torch {torch.__version__}",
        "settings": settings,
        "seeds": seeds,
        "summary": _summarise(runs),
        "runs": json.loads(summary_json(runs)),
    }
    (results / f"{date}_{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        f"# {title} ({date})",
        "",
        f"`python {record['script']}` on {record['hardware']}; 160 cases train, 40 validate (fold 0); settings "
        f"`{json.dumps(record['settings'])}`; seeds {seeds}, curricula in turn. Dice of the last epoch.",
        "",
        *(_summary_lines(record["summary"], settings["max_epochs"])),
        "",
        "Every run (speed-up over the first):",
        "",
        dice_table(runs),
        "",
        f"![Dice over time]({picture.name})",
        "",
    ]
    (results / f"{date}_{name}.md").write_text("\n".join(lines))


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
    rows = ["| curriculum | Dice, mean | training, s, mean | share of time | share of voxels | planned voxels |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for label, figures in summary.items():
        plan = GrowthSchedule.plan(
            patch_size=(40, 56, 40), total_stride=(8, 8, 8), batch_size=2, max_epochs=epochs, curriculum=label
        )
        rows.append(
            f"| {label} | {figures['dice']:.3f} | {figures['seconds']:.0f} | {figures['share_of_time']:.2f} "
            f"| {figures['share_of_voxels']:.2f} | {plan.relative_voxels:.2f} |"
        )
    return rows


if __name__ == "__main__":
    fire.Fire(measure)
