"""Seconds per iteration of each patch size, measured once on a quiet machine: the clock of the study."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import StudyTask

from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.schedules import GrowthSchedule, Stage
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["ITERATIONS_PER_EPOCH", "calibrate", "cycling_schedule", "epochs_within", "planned_seconds", "seconds_at"]

ITERATIONS_PER_EPOCH = 20
_BURST = 4  # iterations on one size in a row while calibrating

Clock = Mapping[str, float]  # seconds per iteration by size and patches per batch, as "40x56x40 2"


def calibrate(task: StudyTask, work: Path, *, arms: Sequence[str], rounds: int) -> Clock:
    """Measure all sizes of the arms in turn, round after round in one run, and take the median of each.

    A machine whose speed drifts so drifts for all of them, and what is compared stays comparable.
    """
    plans = [task.schedule(work, max_epochs=1000, **task.arm(name, work)) for name in arms]
    sizes = sorted(
        {(size, stage.batch_size) for plan in plans for stage in plan.stages for size in _sizes(plan, stage)}
    )
    folder = work / "calibration" / task.name
    task.train(
        folder,
        work,
        iterations_per_epoch=_BURST,
        max_epochs=len(sizes) * rounds,
        val_interval=len(sizes) * rounds,
        schedule={
            "_target_": f"{Path(__file__).stem}.{cycling_schedule.__name__}",
            "sizes": [[list(size), batch] for size, batch in sizes],
            "rounds": rounds,
            "plan": {"patch_size": "@patch_size", "total_stride": "@total_stride", "batch_size": "@batch_size"},
        },
        curriculum="performance",
    )
    seconds: dict[str, list[float]] = {}
    for record in read_history(folder / "history.jsonl"):
        key = _key(record["patch_size"], record["patches_per_batch"])
        seconds.setdefault(key, []).append(record["seconds"] / _BURST)
    return {key: round(statistics.median(values), 5) for key, values in seconds.items()}


def cycling_schedule(
    sizes: Sequence[tuple[Sequence[int], int]], *, rounds: int, plan: Mapping[str, Any]
) -> GrowthSchedule:
    """Make a schedule whose epochs go through sizes (with patches per batch) again and again; a bundle calls it."""
    epochs = [(tuple(size), batch) for _ in range(rounds) for size, batch in sizes]
    whole = GrowthSchedule.plan(**plan, curriculum="performance", max_epochs=len(epochs))
    stages = tuple(Stage(size, batch, number, 1) for number, (size, batch) in enumerate(epochs, start=1))
    return replace(whole, stages=stages, planned_stages=len(stages))


def _sizes(plan: GrowthSchedule, stage: Stage) -> tuple[tuple[int, ...], ...]:
    return plan.candidates if plan.is_random else (stage.patch_size,)


def seconds_at(clock: Clock, schedule: GrowthSchedule, epoch: int) -> float:
    """Seconds that a plan takes until the end of an epoch."""
    if schedule.is_random:
        mean = statistics.mean(clock[_key(size, schedule.batch_size)] for size in schedule.candidates)
        return epoch * ITERATIONS_PER_EPOCH * mean
    total = 0.0
    for stage in schedule.stages:
        epochs = min(stage.num_epochs, max(0, epoch - stage.first_epoch + 1))
        total += epochs * ITERATIONS_PER_EPOCH * clock[_key(stage.patch_size, stage.batch_size)]
    return total


def planned_seconds(clock: Clock, schedule: GrowthSchedule) -> float:
    """Seconds that a whole plan takes."""
    return seconds_at(clock, schedule, schedule.max_epochs)


def epochs_within(task: StudyTask, clock: Clock, work: Path, *, budget: float, **arm: Any) -> int:
    """The most epochs that an arm can be planned for within a budget of seconds."""
    epochs = 2
    while planned_seconds(clock, task.schedule(work, max_epochs=epochs + 1, **arm)) <= budget:
        epochs += 1
    return epochs


def read_clock(path: Path) -> Clock:
    """The clock of a task, as `calibrate` measured it."""
    return dict(json.loads(path.read_text())["seconds_per_iteration"])


def _key(patch_size: Any, patches: int) -> str:
    return f"{format_size(patch_size)} {patches}"
