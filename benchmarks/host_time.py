"""Measures what an iteration costs the host besides forward, backward and optimiser, on patches of 8x8x8.

    .venv/bin/python benchmarks/host_time.py measure COMMIT

The Task04 bundle's first stage on phantoms, one thread, without loader workers: the processor's microseconds of copying
and augmenting, of the loss, and of all else (MONAI's iteration, handlers). For kernels that small they are what Python
and torch's dispatcher take, on a GPU too. This commit and an earlier one take turns. "recorded" is this commit with
compile=cuda-graphs, a replay counted as nothing. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import fire
import task04
import torch
from ignite.engine import Events
from iteration_clock import PARTS, WORK, IterationClock
from results_file import table, write_results
from two_trees import ROOT, call_in, tree_of

from monai_patchgrow.data import write_phantom_task

BESIDES = [part for part in PARTS if part not in (*WORK, "waiting")]


class NoReplay:
    """Records nothing: what is left of a recorded iteration on the host, but for the launch."""

    def run(self, work: Any) -> Any:
        """Do the work."""
        return work()

    def record(self, work: Any) -> Any:
        """Do nothing in its place."""
        return lambda: None

    def release(self) -> None:
        """There is nothing to release."""


def once(tree: str, data: str, recorded: bool = False, iterations: int = 300) -> None:
    """Print the medians of one run of the bundle of a source tree, microseconds by part."""
    torch.set_num_threads(1)
    task04.BUNDLE = Path(tree) / "bundles" / task04.BUNDLE.name
    labels = {"0": "background", "1": "Anterior", "2": "Posterior"}
    settings = {
        "curriculum": "efficiency",
        "max_epochs": 1000,
        "iterations_per_epoch": iterations + 100,
        "labels": labels,
    }
    with tempfile.TemporaryDirectory() as folder:
        places = {"dataset_dir": data, "output_dir": f"{folder}/run", "cache_dir": f"{data}_cache"}
        keys = {"num_workers": 0, "verify_data": False, "device": torch.device("cpu")}
        trainer = task04.make_trainer(**settings, **places, **keys)
        if recorded:
            from monai_patchgrow.handlers import RecordedIterations

            recording = RecordedIterations(NoReplay())
            recording._loss = torch.zeros(())  # that of a replay, of which there is none
            recording.attach(trainer)
        clock = IterationClock(warm_up=10, iterations=iterations, seconds=0, clock=time.process_time)
        clock.attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, trainer.terminate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.run()
    done = clock.epochs[0]["iterations"][10:]
    print(json.dumps({part: 1e6 * statistics.median(one.get(part, 0.0) for one in done) for part in PARTS}))


def measure(before: str, rounds: int = 5) -> None:
    """Let both trees, and the recorded iterations, take turns, and write the medians."""
    with tree_of(before) as tree, tempfile.TemporaryDirectory() as folder:
        data = str(write_phantom_task(Path(folder) / "phantom", num_cases=12))
        ways = {"before": (tree, False), "now": (ROOT, False), "recorded": (ROOT, True)}
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (source, recorded) in ways.items():
                arguments = ["once", str(source), data, f"--recorded={recorded}"]
                runs[name].append(call_in(source, __file__, *arguments, OMP_NUM_THREADS="1"))
                print(name, runs[name][-1], flush=True)
    _report(before, runs)


def _report(before: str, runs: dict[str, list[dict[str, float]]]) -> None:
    medians = {
        name: {part: statistics.median(run[part] for run in some) for part in PARTS} for name, some in runs.items()
    }
    besides = {name: sum(parts[part] for part in BESIDES) for name, parts in medians.items()}
    shares = {
        name: [
            sum(run[part] for part in BESIDES) / sum(first[part] for part in BESIDES)
            for run, first in zip(some, runs["before"], strict=True)
        ]
        for name, some in runs.items()
    }
    rows = [
        [
            name,
            *(f"{parts[part]:.0f}" for part in BESIDES),
            f"{besides[name]:.0f}",
            f"{statistics.median(shares[name]):.2f}",
            f"{min(shares[name]):.2f} to {max(shares[name]):.2f}",
        ]
        for name, parts in medians.items()
    ]
    lines = [
        f"Before is commit {before}. Microseconds of the processor, medians of {len(runs['now'])} rounds in turn; the "
        "last columns are the ratios to `before` within a round, their median and range. `recorded` leaves out "
        "forward, backward and optimiser too, for which a GPU gets one launch.",
        "",
        *table(["", *BESIDES, "besides forward, backward, optimiser", "of before", "each round"], rows),
    ]
    page = write_results(
        "host_time",
        "Host's time of an iteration, patches of 8x8x8",
        script="benchmarks/host_time.py",
        record={"runs": runs},
        lines=lines,
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire({"measure": measure, "once": once})
