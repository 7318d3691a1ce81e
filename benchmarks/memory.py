"""Measures resident memory over 200 stage changes of the bundle on the real MSD Task04, two loader workers.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/memory.py

Every epoch (two iterations) is a stage of another patch size than the one before; the workers live through all of them.
Main process and workers are added up. "In use" is what is resident when the main process' allocator has been told to
hand back what it keeps for later (malloc_trim), once per round through the sizes; "with reserves" is the largest
resident memory of the round as it ran. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import multiprocessing
import tempfile
import warnings
from pathlib import Path
from typing import Any

import fire
from ignite.engine import Events
from results_file import table, write_results
from task04 import PLAN, find_task04, make_trainer

from monai_patchgrow.schedules import GrowthSchedule, Stage

SMALL = {"features": [8, 16, 32, 64], "batch_size": 2, "iterations_per_epoch": 2, "num_workers": 2}


def measure(data: str | None = None, changes: int = 200) -> None:
    """Train through the stages of `efficiency` again and again, and write what was measured."""
    schedule = changing_schedule(changes)
    per_round = len({stage.patch_size for stage in schedule.stages})
    marks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = {"output_dir": f"{folder}/run", "cache_dir": f"{folder}/cache"}
        trainer = make_trainer(dataset_dir=find_task04(data), max_epochs=changes + 1, **output, **SMALL)
        trainer.state.patch_growth.schedule = schedule

        @trainer.on(Events.EPOCH_COMPLETED)
        def mark() -> None:
            marks.append({"epoch": trainer.state.epoch, "with_reserves_mib": resident_mib()})
            if trainer.state.epoch % per_round == 0:
                gc.collect()
                ctypes.CDLL("libc.so.6").malloc_trim(0)
                marks[-1]["in_use_mib"] = resident_mib()

        trainer.run()
    report(marks, per_round, changes)


def changing_schedule(changes: int) -> GrowthSchedule:
    """A plan of `changes` + 1 stages of one epoch, which goes through the sizes of `efficiency` over and over."""
    plan = GrowthSchedule.plan(**{**PLAN, "batch_size": SMALL["batch_size"]}, curriculum="efficiency")
    sizes = [stage.patch_size for stage in plan.stages]
    stages = tuple(Stage(sizes[index % len(sizes)], plan.batch_size, index + 1, 1) for index in range(changes + 1))
    return dataclasses.replace(plan, stages=stages, max_epochs=changes + 1)


def resident_mib() -> float:
    """Resident memory of this process and its loader workers, MiB (Linux); what they share counts for each."""
    processes = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
    statuses = [Path(f"/proc/{process}/status").read_text() for process in processes]
    return sum(int(status.split("VmRSS:")[1].split()[0]) for status in statuses) / 1024


def report(marks: list[dict[str, Any]], per_round: int, changes: int) -> None:
    """Write what each round through the sizes held."""
    rounds = [marks[first : first + per_round] for first in range(0, len(marks) - per_round + 1, per_round)]
    in_use = [some[-1]["in_use_mib"] for some in rounds]
    rows = [
        [
            f"{some[0]['epoch']}-{some[-1]['epoch']}",
            f"{some[-1]['in_use_mib']:.0f}",
            f"{max(mark['with_reserves_mib'] for mark in some):.0f}",
        ]
        for some in rounds
    ]
    growth = in_use[-1] - in_use[0]
    page = write_results(
        "memory",
        f"Resident memory over {changes} stage changes",
        script="benchmarks/memory.py",
        record={"settings": SMALL, "changes": changes, "growth_mib": growth, "marks": marks},
        lines=[
            f"In use, from the first round through the {per_round} sizes to the last: {growth:+.1f} MiB "
            f"({growth / in_use[0]:+.2%}).",
            "",
            *table(["epochs", "in use, MiB", "with reserves, MiB"], rows),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire(measure)
