"""What it costs a training to be safe: the look at gradients and signals in each iteration, and checkpoints.

    .venv/bin/python benchmarks/safety_overhead.py

The Task04 bundle with its own network, batch and augmentation, on a phantom task. Iterations with the safety and such
without it take turns in one run.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fire
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from results_file import table, write_results
from tiny_runs import HIPPOCAMPUS, ROOT

from monai_patchgrow.data import read_task, verify_cases, write_phantom_task
from monai_patchgrow.data.whole_files import save_whole
from monai_patchgrow.handlers import FiniteSteps, ResumableRun
from monai_patchgrow.sealed_files import check_seal, seal

ITERATIONS_PER_EPOCH = 250
WARM_UP = 4
NUM_CASES = 12


class Measured(Exception):
    """Ends a training that has had its iterations."""


class Switch:
    """Turns the safety of a training on and off: on in every iteration of an even number."""

    def __init__(self) -> None:
        self.is_on = True
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.own: list[float] = []  # seconds of the safety itself
        self._own = 0.0
        self._originals = FiniteSteps.__call__, ResumableRun._complete_iteration
        self._began = self._until = 0.0

    def __enter__(self) -> Switch:
        step, complete = self._originals
        FiniteSteps.__call__ = self._switched(step)  # type: ignore[method-assign]
        ResumableRun._complete_iteration = self._switched(complete)  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: Any) -> None:
        FiniteSteps.__call__, ResumableRun._complete_iteration = self._originals  # type: ignore[method-assign]

    def attach(self, trainer: Engine, *, seconds: float) -> None:
        """Take the processor's time of each iteration, all handlers included, for some seconds."""
        self._until = time.monotonic() + seconds

        def start() -> None:
            now = time.process_time()
            if trainer.state.iteration > WARM_UP + 1:
                self.seconds[self.is_on].append(now - self._began)
                if self.is_on:
                    self.own.append(self._own)
            self._own = 0.0
            if min(map(len, self.seconds.values())) > 2 and time.monotonic() > self._until:
                raise Measured
            self.is_on = not trainer.state.iteration % 2
            self._began = now

        trainer.add_event_handler(Events.GET_BATCH_STARTED, start)

    def _switched(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if self.is_on:
                began = time.process_time()
                function(*arguments)
                self._own += time.process_time() - began

        return call


def measure_iterations(patch: list[int], folder: Path, *, seconds: float) -> dict[str, Any]:
    """Seconds of an iteration with the safety and without, and the run's checkpoint."""
    name = "x".join(map(str, patch))
    with Switch() as switch:
        workflow = ConfigWorkflow(
            str(ROOT / "bundles" / HIPPOCAMPUS / "configs" / "train.json"),
            workflow_type="train",
            logging_file=False,
            dataset_dir=str(folder / "task"),
            cache_dir=str(folder / "cases"),
            output_dir=str(folder / name),
            patch_size=patch,
            curriculum="constant",
            num_workers=0,
            labels={"0": "background", "1": "Anterior", "2": "Posterior"},
        )
        workflow.initialize()
        trainer = workflow.parser.get_parsed_content("train#trainer")
        switch.attach(trainer, seconds=seconds)
        with suppress(Measured):
            trainer.run()
    on, off = switch.seconds[True], switch.seconds[False]
    ratios = [with_it / without for with_it, without in zip(on, off, strict=False)]
    content = trainer.state.resumable_run._state.collect(trainer, within_epoch=True)
    return {
        "patch": name,
        "iterations": len(ratios),
        "with": statistics.median(on),
        "without": statistics.median(off),
        "ratio": statistics.median(on) / statistics.median(off),
        "median_of_pairs": statistics.median(ratios),
        "own": statistics.median(switch.own),
        "own_share": statistics.median(switch.own) / statistics.median(off),
        "standard_error": statistics.stdev(ratios) / math.sqrt(len(ratios)),
        "content": content,
    }


def measure_writing(content: dict[str, Any], folder: Path, *, times: int = 5) -> dict[str, float]:
    """Seconds of a checkpoint as a run writes it, of a plain ``torch.save``, and of a seal and its check, in turn."""
    folder.mkdir()
    seconds: dict[str, list[float]] = {"whole": [], "plain": [], "seal": [], "check": []}

    def clock(name: str, function: Callable[..., Any], *arguments: Any) -> None:
        began = time.perf_counter()
        function(*arguments)
        seconds[name].append(time.perf_counter() - began)

    for _ in range(times):
        clock("plain", torch.save, content, folder / "plain.pt")
        clock("seal", seal, folder / "plain.pt")
        clock("check", check_seal, folder / "plain.pt")
        clock("whole", save_whole, content, folder / "last.pt")
    return {name: statistics.median(each) for name, each in seconds.items()} | {
        "megabytes": (folder / "last.pt").stat().st_size / 1e6
    }


def main(seconds: float = 90.0, *, patches: tuple[list[int], ...] = ([8, 8, 8], [16, 24, 16])) -> None:
    """Measure and write the table.

    Args:
        seconds: of each patch size.
        patches: sizes in voxels.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = read_task(write_phantom_task(folder / "task", num_cases=NUM_CASES))
        began = time.perf_counter()
        verify_cases(task)
        check_seconds = (time.perf_counter() - began) / NUM_CASES
        records = [measure_iterations(list(patch), folder, seconds=seconds) for patch in patches]
        writing = measure_writing([record.pop("content") for record in records][-1], folder / "written")
    for record in records:
        record["epoch_seconds"] = ITERATIONS_PER_EPOCH * record["without"]
        record["write_share"] = writing["whole"] / record["epoch_seconds"]
        record["seal_share"] = (writing["seal"]) / record["epoch_seconds"]
    _report(records, writing, check_seconds)


def _report(records: list[dict[str, Any]], writing: dict[str, float], check_seconds: float) -> None:
    rows = [
        [
            one["patch"],
            one["iterations"],
            f"{1000 * one['without']:.1f}",
            f"{1000 * one['with']:.1f}",
            f"{1000 * one['own']:.2f}",
            f"{100 * one['own_share']:.2f} %",
            f"{100 * (one['median_of_pairs'] - 1):+.2f} % ± {100 * one['standard_error']:.2f}",
            f"{100 * one['write_share']:.2f} %",
            f"{100 * one['seal_share']:.2f} %",
        ]
        for one in records
    ]
    lines = [
        "Iterations with the safety and such without, in turn within one run, of the Task04 bundle's own network, "
        "batch of 9 and augmentation, on one core; milliseconds of the processor's time, medians. The "
        "difference is the median over pairs of neighbours, with the standard error of their mean; the safety's own "
        "time is taken within the same iterations, and less noisy on a machine that others use. Most of it is the norm "
        "of the gradients, which clipping then need not measure: the difference is what remains.",
        "",
        *table(
            [
                "patch",
                "pairs",
                "without, ms",
                "with, ms",
                "the safety itself, ms",
                "share",
                "difference",
                "checkpoint a 250-iteration epoch",
                "its seal",
            ],
            rows,
        ),
        "",
        f"A checkpoint of {writing['megabytes']:.0f} MB takes {writing['whole']:.2f} s with its fsync, a plain "
        f"`torch.save` {writing['plain']:.2f} s; the seal of it is {writing['seal']:.3f} s, checking it on resume "
        f"{writing['check']:.3f} s. Runs write less often where writing would take more than 2 % of their time. The "
        f"check of the data takes {1000 * check_seconds:.0f} ms a case, once a run.",
    ]
    write_results(
        "safety_overhead",
        "What safety costs a training",
        script="benchmarks/safety_overhead.py",
        record={"patches": records, "writing": writing, "check_seconds": check_seconds},
        lines=lines,
    )


if __name__ == "__main__":
    fire.Fire(main)
