"""Measures where the time of each stage goes on the real MSD Task04, with its real network and batch.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/stages.py

Runs the bundle itself, one stage after the other, training only. Curricula take turns with `constant`
(constant, efficiency, constant, pgps, ...), several rounds, each run in a process of its own; the overhead factor is
(time of the curriculum / time of constant) / relative_voxels, each stage's time per iteration weighted with its
iterations in the full plan of 1000 epochs of 250 iterations. What happens between epochs (checkpoint, the first batch
of the next one) is measured too and shared out over 250 iterations. Writes a dated JSON and Markdown to
benchmarks/results.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import fire
from iteration_clock import PARTS, WORK, IterationClock
from results_file import table, write_results
from task04 import PLAN, find_task04, make_trainer

from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.schedules.stage import patch_voxels

ITERATIONS_PER_EPOCH = 250  # of the full plan


def run(curriculum: str, settings: dict[str, Any], clock: dict[str, Any]) -> list[dict]:
    """Train every stage of a curriculum for some iterations: per stage its size and the parts of each iteration."""
    stages = GrowthSchedule.plan(**PLAN, curriculum=curriculum).stages
    epochs = max(2, len(stages))  # constant's second one has an epoch before it too
    trainer = make_trainer(curriculum=curriculum, max_epochs=epochs, **settings)
    watch = IterationClock(**clock)
    watch.attach(trainer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.run()
    return [{**epoch, "iterations": epoch["iterations"][watch.warm_up :]} for epoch in watch.epochs[-len(stages) :]]


def in_own_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function as a user's run would be: in a process that no earlier run has left its memory in."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


def summarise(stages: Sequence[dict]) -> list[dict[str, Any]]:
    """Seconds per iteration of each stage, in all and by part."""
    rows = []
    for stage in stages:
        parts = {part: statistics.mean(one.get(part, 0.0) for one in stage["iterations"]) for part in PARTS}
        times = {"seconds": sum(parts.values()), "between_epochs": stage["between_epochs"], **parts}
        rows.append({"patch_size": stage["patch_size"], **times})
    return rows


def planned_seconds(curriculum: str, stages: Sequence[dict[str, Any]]) -> float:
    """Mean seconds per iteration over the plan of 1000 epochs, what is between epochs included."""
    plan = GrowthSchedule.plan(**PLAN, curriculum=curriculum)
    seconds = [row["seconds"] + row["between_epochs"] / ITERATIONS_PER_EPOCH for row in stages]
    return sum(s.num_epochs * each for s, each in zip(plan.stages, seconds, strict=True)) / plan.max_epochs


def measure(
    data: str | None = None,
    curricula: Sequence[str] = ("efficiency", "pgps", "performance"),
    rounds: int = 2,
    num_workers: int = 2,
    augment: bool = True,
    compile: bool = False,
    channels_last: bool = False,
    seconds: float = 3.0,
    iterations: int = 2,
    warm_up: int = 1,
    name: str = "stages",
) -> None:
    """Measure every stage of every curriculum in every round, and write the results."""
    settings = {
        "iterations_per_epoch": 200,
        "num_workers": num_workers,
        "augment": augment,
        "compile": compile,
        "channels_last": channels_last,
    }
    clock = {"warm_up": warm_up, "iterations": iterations, "seconds": seconds}
    runs: dict[str, list[dict[str, Any]]] = {curriculum: [] for curriculum in curricula}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for curriculum in curricula:
                pair = {}
                for one in ("constant", curriculum):
                    output = {"output_dir": f"{folder}/{one}{number}", "cache_dir": f"{folder}/cache"}
                    run_settings = {**settings, **output, "dataset_dir": find_task04(data)}
                    pair[one] = summarise(in_own_process(run, one, run_settings, clock))
                    print(json.dumps({"round": number, "curriculum": one, "stages": pair[one]}), flush=True)
                runs[curriculum].append(pair)
    report(runs, {**settings, **clock}, rounds, name)


def report(runs: dict[str, list[dict[str, Any]]], settings: dict[str, Any], rounds: int, name: str) -> None:
    """Write the factors and a table per curriculum."""
    record: dict[str, Any] = {"settings": settings, "rounds": rounds, "curricula": {}}
    lines = [f"Settings `{json.dumps(settings)}`, {rounds} rounds in turn with `constant`. Times are means.", ""]
    factors = []
    tables = []
    for curriculum, pairs in runs.items():
        plan = GrowthSchedule.plan(**PLAN, curriculum=curriculum)
        ratios = [
            planned_seconds(curriculum, pair[curriculum]) / planned_seconds("constant", pair["constant"])
            for pair in pairs
        ]
        stages = [mean_rows([pair[curriculum][index] for pair in pairs]) for index in range(len(plan.stages))]
        full = mean_rows([pair["constant"][0] for pair in pairs])
        ratio = statistics.mean(ratios)
        record["curricula"][curriculum] = {
            "relative_voxels": plan.relative_voxels,
            "time_ratios": ratios,
            "overhead_factors": [ratio / plan.relative_voxels for ratio in ratios],
            "stages": stages,
            "constant": full,
        }
        each = ", ".join(f"{one / plan.relative_voxels:.2f}" for one in ratios)
        factors.append(
            [curriculum, f"{plan.relative_voxels:.3f}", f"{ratio:.3f}", f"{ratio / plan.relative_voxels:.2f}", each]
        )
        tables += ["", f"## {curriculum}", "", *stage_table(plan, stages, full)]
    lines += table(
        ["curriculum", "voxels of constant's", "time of constant's", "overhead factor", "each round"], factors
    )
    lines += [
        "",
        "Time per stage: ms per iteration and shares of it. `augmenting` holds the copy to the device, `rest` all "
        "other handlers and bookkeeping; `besides` is everything but forward, backward and optimiser; `between epochs` "
        "comes on top, shared out over 250 iterations. Last, the time per voxel relative to `constant`'s: 1.00 is no "
        "overhead.",
        *tables,
    ]
    page = write_results(name, "Time per stage, Task04", script="benchmarks/stages.py", record=record, lines=lines)
    print(page.read_text())


def mean_rows(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same stage of several rounds."""
    numbers = {key: statistics.mean(row[key] for row in rows) for key in ("seconds", "between_epochs", *PARTS)}
    return {"patch_size": rows[0]["patch_size"], **numbers}


def stage_table(plan: GrowthSchedule, stages: Sequence[dict[str, Any]], full: dict[str, Any]) -> list[str]:
    """One row per stage."""
    per_voxel = full["seconds"] / (plan.batch_size * patch_voxels(plan.patch_size))
    rows = []
    for stage, row in zip(plan.stages, stages, strict=True):
        besides = 1 - sum(row[part] for part in WORK) / row["seconds"]
        rows.append(
            [
                format_size(stage.patch_size),
                stage.batch_size,
                f"{row['seconds'] * 1000:.0f}",
                *(f"{row[part] / row['seconds']:.1%}" for part in PARTS),
                f"{besides:.1%}",
                f"{row['between_epochs'] / ITERATIONS_PER_EPOCH / row['seconds']:.1%}",
                f"{row['seconds'] / (stage.batch_size * stage.voxels) / per_voxel:.2f}",
            ]
        )
    return table(["patch", "patches", "ms", *PARTS, "besides", "between epochs", "time per voxel"], rows)


if __name__ == "__main__":
    fire.Fire(measure)
