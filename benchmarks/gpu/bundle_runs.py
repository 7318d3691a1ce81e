"""Trainings of the Task04 bundle on phantoms, with its own network and plan, and what watches their iterations."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from iteration_clock import PARTS, IterationClock
from monai.bundle import ConfigWorkflow
from task04 import BUNDLE, PLAN
from torch.profiler import ProfilerActivity, profile

from monai_patchgrow.data import write_phantom_task
from monai_patchgrow.schedules import GrowthSchedule

__all__ = ["counting_waits", "measure_stages", "workflow_of"]

STAGES = GrowthSchedule.plan(**PLAN, curriculum="efficiency").stages
NUM_CASES = 12
_CPU = {"features": [4, 4, 8, 8]}  # only to try the steps


def workflow_of(device: str, folder: Path, **settings: Any) -> ConfigWorkflow:
    """The bundle's training under these keys, initialised; two calls share cases and cache."""
    data = write_phantom_task(folder.parent / "phantom", num_cases=NUM_CASES)
    keys = {
        "dataset_dir": str(data),
        "cache_dir": str(folder.parent / "cache"),
        "output_dir": str(folder),
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "device": device,
        "num_workers": 0,
        "verify_data": False,
        **(_CPU if device == "cpu" else {}),
        **settings,
    }
    config = str(BUNDLE / "configs" / "train.json")
    warnings.simplefilter("ignore")
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **keys)
    workflow.initialize()
    return workflow


def measure_stages(
    device: str, folder: Path, *, iterations: int, seconds: float, sizes: tuple[int, ...] | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """Train each stage for some iterations, or those of these numbers, each as a run of its own.

    Returns, for each: patch, patches, milliseconds of an iteration (by the device, by the host), operations (a GPU's
    kernels, a CPU's operators) and peak memory.
    """
    rows = []
    for number in range(len(STAGES)) if sizes is None else sizes:
        stage = STAGES[number]
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        keys = {"patch_size": list(stage.patch_size), "curriculum": "constant", "max_epochs": 1, **settings}
        name = folder / f"{number}_{'_'.join(map(str, settings.values()))}"
        trainer = workflow_of(device, name, iterations_per_epoch=500, **keys).parser.get_parsed_content("train#trainer")
        clock, operations = IterationClock(warm_up=5, iterations=iterations, seconds=seconds), Operations()
        clock.attach(trainer)
        operations.attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, trainer.terminate)
        trainer.run()
        epoch = clock.epochs[0]
        parts = {part: statistics.median(one.get(part, 0.0) for one in epoch["iterations"][5:]) for part in PARTS}
        rows.append(
            {
                "patch": list(stage.patch_size),
                "patches": stage.batch_size,
                "ms": round(1000 * statistics.median(sum(one.values()) for one in epoch["iterations"][5:]), 3),
                "host_ms": round(1000 * statistics.median(epoch["host_seconds"][5:]), 3),
                "parts_ms": {part: round(1000 * each, 3) for part, each in parts.items()},
                "operations": operations.count,
                "peak_GiB": round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None,
            }
        )
    return rows


class Operations:
    """Counts the kernels of one iteration on a GPU, or its operators on a CPU: of the fifth, before it is timed."""

    def __init__(self) -> None:
        self.count = 0
        self._profile: Any = None

    def attach(self, trainer: Engine) -> None:
        """Register on a trainer."""
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=5), self._stop, trainer)

    def _start(self, trainer: Engine) -> None:
        if trainer.state.iteration != 4:  # those that are done
            return
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self._profile = profile(activities=kinds, acc_events=True)
        self._profile.__enter__()

    def _stop(self, trainer: Engine) -> None:
        on_gpu = trainer.state.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize()
        self._profile.__exit__(None, None, None)
        kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
        self.count = sum(event.device_type == kind for event in self._profile.events())


@contextmanager
def counting_waits(trainer: Any) -> Iterator[list[str]]:
    """Where the iterations of a run wait for the GPU: one entry for each time, of iterations but the first three."""
    waits: list[str] = []
    mode, show = torch.cuda.set_sync_debug_mode, warnings.showwarning

    def note(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        if "synchroniz" in str(message):
            waits.append(f"{Path(filename).name}:{lineno}")

    def begin() -> None:
        if trainer.state.iteration >= 3 and torch.cuda.is_available():
            warnings.simplefilter("always")
            warnings.showwarning = note
            mode("warn")

    def end() -> None:
        if torch.cuda.is_available():
            mode("default")
        warnings.showwarning = show

    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, begin)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)
    try:
        yield waits
    finally:
        end()
