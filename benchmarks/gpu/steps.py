"""The steps by name, and how one is done in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from environment import describe_environment
from little_memory import run_out_of_memory
from patchgd import measure_patchgd
from several import measure_ranks
from trainings import compare_loaders, compare_options, measure_performance, smoke, sweep_stages, train_twice

__all__ = ["STEPS", "do_step"]

STEPS = {  # what each does, and how many seconds it may take
    "environment": (describe_environment, 60),
    "smoke": (smoke, 120),
    "little_memory": (run_out_of_memory, 90),
    "stages": (sweep_stages, 120),
    "options": (compare_options, 180),
    "loaders": (compare_loaders, 90),
    "determinism": (train_twice, 60),
    "performance": (measure_performance, 60),
    "patchgd": (measure_patchgd, 60),
    "ranks": (measure_ranks, 90),
}


def do_step(name: str, device: str, folder: Path, results: Any) -> None:
    """Put what a step returns into a queue, or what ended it in one line."""
    try:
        results.put({"result": STEPS[name][0](device, folder)})
    except BaseException as error:  # whatever ends a step is its result
        results.put({"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]})
