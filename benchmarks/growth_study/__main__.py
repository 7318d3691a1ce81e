"""Compares curricula at equal time, at equal iterations and by their time to a Dice, on three real data sets.

    bash scripts/setup.sh plot && . scripts/environment.sh
    .venv/bin/python benchmarks/growth_study check task04        # bfloat16 on this CPU, on every size
    .venv/bin/python benchmarks/growth_study calibrate task04    # once, on a quiet machine
    .venv/bin/python benchmarks/growth_study train task04        # resumable: finished runs are not repeated
    .venv/bin/python benchmarks/growth_study report task04

Every arm is planned for each budget of seconds, its learning rate down to zero at the end. Time is counted in
calibrated seconds: a stage's seconds per iteration, measured by `calibrate`, times its iterations; so other work on the
machine does not touch it. The clock's own seconds stand beside. One JSON per run goes to
benchmarks/results/growth_study/TASK, with Dice per case; a run that is cut off is begun anew.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import fire
import torch
from monai.bundle import ConfigParser

sys.path.insert(0, str(Path(__file__).parents[1]))

from bfloat16 import InBfloat16, largest_deviation
from calibration import ITERATIONS_PER_EPOCH, epochs_within, planned_seconds, read_clock, seconds_at
from calibration import calibrate as measure_clock
from report import draw, report_lines
from results_file import RESULTS, hardware, write_results
from statistics_of_runs import load_runs
from tasks import TASKS, StudyTask

from monai_patchgrow.files import write_whole
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.networks import training_network

_VALIDATIONS = 10


def calibrate(
    name: str,
    arms: Sequence[str] = ("constant", "efficiency", "performance", "half", "half_filled"),
    work: str = "runs/growth_study",
    rounds: int = 5,
) -> None:
    """Measure the seconds per iteration of every stage of some arms: the clock that all of a task's runs share."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    task = TASKS[name]
    record = {
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "settings": dict(task.settings),
        "rounds": rounds,
        "seconds_per_iteration": measure_clock(task, Path(work), arms=_names(arms), rounds=rounds),
    }
    write_whole(json.dumps(record, indent=1) + "\n", _results(task) / "clock.json")


def check(name: str, work: str = "runs/growth_study", arms: Sequence[str] = ("performance", "half_filled")) -> None:
    """Say of every size and batch of some arms whether repeated passes in bfloat16 give the same bits."""
    task = TASKS[name]
    parser = ConfigParser(json.loads((task.bundle(Path(work)) / "configs" / "train.json").read_text()))
    for key, value in {**task.settings, "bundle_root": ".", "imports": ["$import torch"]}.items():
        parser[key] = value
    definition, stride = parser.get_parsed_content("network_def"), parser["total_stride"]
    network = InBfloat16(
        training_network(definition, num_heads=1, patch_size=parser["patch_size"]), total_stride=stride
    )
    network.train()
    for arm in _names(arms):
        for stage in task.schedule(Path(work), max_epochs=1000, **task.arm(arm, Path(work))).stages:
            for batch in sorted({2, stage.batch_size}):
                image = torch.randn(batch, 1, *stage.patch_size)
                print(stage.patch_size, batch, largest_deviation(network, image, repeats=3), flush=True)


def train(
    name: str,
    arms: Sequence[str] = ("constant", "efficiency", "performance"),
    budgets: Sequence[int] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    work: str = "runs/growth_study",
) -> None:
    """Train each arm for each budget with each seed, as far as no earlier call has."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    task = TASKS[name]
    for seed in seeds:
        for budget in budgets or task.budgets:
            for arm in _names(arms):
                path = _results(task) / f"{budget}s_{arm}_seed{seed}.json"
                if not path.exists():
                    _train_one(task, arm, budget=budget, seed=seed, work=Path(work), path=path)


def _train_one(task: StudyTask, name: str, *, budget: int, seed: int, work: Path, path: Path) -> None:
    arm = task.arm(name, work)
    clock = read_clock(_results(task) / "clock.json")
    epochs = epochs_within(task, clock, work, budget=budget, **arm)
    schedule = task.schedule(work, max_epochs=epochs, **arm)
    folder = work / task.name / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    task.train(
        folder,
        work,
        seed=seed,
        max_epochs=epochs,
        val_interval=max(1, epochs // _VALIDATIONS),
        iterations_per_epoch=ITERATIONS_PER_EPOCH,
        **arm,
        **{"validate#handlers": [{"_target_": "case_dice.CaseDice", "path": f"{folder.absolute()}/cases.jsonl"}]},
    )
    history = read_history(folder / "history.jsonl")
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    validations = [
        {
            "epoch": record["epoch"],
            "calibrated_seconds": round(seconds_at(clock, schedule, record["epoch"]), 2),
            "clock_seconds": round(record["total_seconds"], 2),
            "dice": {label: round(value, 5) for label, value in record["dice"].items()},
        }
        for record in history
        if record["dice"]
    ]
    record = {
        "task": task.name,
        "arm": name,
        "budget_seconds": budget,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "settings": {**task.settings, **arm},
        "epochs": epochs,
        "iterations": epochs * ITERATIONS_PER_EPOCH,
        "stages": [[list(stage.patch_size), stage.batch_size, stage.num_epochs] for stage in schedule.stages],
        "voxels": history[-1]["total_voxels"],
        "calibrated_seconds": round(planned_seconds(clock, schedule), 2),
        "validations": validations,
        "cases": dict(zip(task.validation_cases(), cases[-1]["dice"], strict=True)),
        "losses": [round(record["loss"], 4) for record in history],
    }
    write_whole(json.dumps(record) + "\n", path)
    print(path.name, epochs, record["calibrated_seconds"], validations[-1]["dice"], flush=True)


def report(name: str, arms: Sequence[str] | None = None, title: str = "") -> str:
    """Write the page and the picture of a task's runs so far, all arms or some."""
    task = TASKS[name]
    wanted = None if arms is None else _names(arms)
    cells = {key: cell for key, cell in load_runs(_results(task)).items() if wanted is None or cell.arm in wanted}
    lines = [
        f"{task.folder}, fold 0{', split by patient' if task.by_patient else ''}: {len(task.validation_cases())} cases "
        f"validated. Settings besides nnU-Net's plan: `{json.dumps(dict(task.settings))}`. Seconds are calibrated.",
        "",
        *report_lines(cells),
    ]
    stem = f"growth_{task.name}{title and '_' + title}"
    runs = {f"{arm} {budget}s": [run["validations"] for run in cell.runs] for (arm, budget), cell in cells.items()}
    headline = f"Growing patch on {task.folder}"
    page = write_results(stem, headline, script="benchmarks/growth_study", record={"runs": runs}, lines=lines)
    picture = draw(cells, page.with_suffix(".png"), title=task.folder)
    with page.open("a") as text:
        text.write(f"\n![Dice at the end of each run]({picture.name})\n")
    return str(page)


def _names(arms: str | Sequence[str]) -> list[str]:
    """Fire hands a,b0.2 on as one string."""
    return arms.split(",") if isinstance(arms, str) else list(arms)


def _results(task: StudyTask) -> Path:
    folder = RESULTS / "growth_study" / task.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    fire.Fire({"calibrate": calibrate, "check": check, "train": train, "report": report})
