"""Compares this commit's speed of training with an earlier one's: the stages of Task04, and a pass of PatchGD.

    . scripts/environment.sh && .venv/bin/python benchmarks/beside_commit.py measure COMMIT

Both trees take turns (before, now, before, now), each run in a process of its own, on benchmarks/stages.py's training
and benchmarks/patchgd_speed.py's cases. A time of a plan is that of each stage's iterations, weighted with the plan's
epochs. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import fire
import patchgd_speed
import stages
import task04
from results_file import table, write_results
from two_trees import ROOT, call_in, tree_of

CURRICULA = ("constant", "efficiency")
CLOCK = {"warm_up": 1, "iterations": 2, "seconds": 3.0}


def once(tree: str, cache: str) -> None:
    """Print milliseconds: of an iteration of each plan and of two stages, and of passes of PatchGD."""
    task04.BUNDLE = Path(tree) / "bundles" / task04.BUNDLE.name
    found: dict[str, float] = {}
    for curriculum in CURRICULA:
        with tempfile.TemporaryDirectory() as folder:
            places = {"output_dir": folder, "cache_dir": cache, "dataset_dir": task04.find_task04()}
            settings = {"iterations_per_epoch": 200, "num_workers": 2, "augment": True, **places}
            rows = stages.summarise(stages.run(curriculum, settings, CLOCK))
        found[f"iteration of {curriculum}'s plan"] = 1e3 * stages.planned_seconds(curriculum, rows)
        if len(rows) > 1:
            found["iteration of its first stage"] = 1e3 * rows[0]["seconds"]
            found["iteration of its middle stage"] = 1e3 * rows[len(rows) // 2]["seconds"]
    for case in patchgd_speed.make_cases():
        for name, way in {"PatchGD": patchgd_speed.our_pass, "gradient descent": patchgd_speed.descend}.items():
            found[f"{name}, {case.name}"] = 1e3 * min(_timed(way, case) for _ in range(2))
    print(json.dumps(found))


def _timed(way: Any, case: patchgd_speed.Case) -> float:
    step = patchgd_speed.make_step(case.encoder, case.head)
    start = time.perf_counter()
    way(case, case.encoder, case.head, step)
    return time.perf_counter() - start


def measure(before: str, rounds: int = 4) -> None:
    """Let both trees take turns, and write the medians and ratios."""
    runs: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    with tree_of(before) as tree, tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, source in {"before": tree, "now": ROOT}.items():
                runs[name].append(call_in(source, __file__, "once", str(source), f"{folder}/cache_{name}"))
                print(name, runs[name][-1], flush=True)
    rows = []
    for what in runs["now"][0]:
        pairs = [(one[what], other[what]) for one, other in zip(runs["before"], runs["now"], strict=True)]
        ratios = [now / earlier for earlier, now in pairs]
        medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([what, *(f"{each:.0f}" for each in medians), f"{statistics.median(ratios):.2f}", spread])
    lines = [
        f"Before is commit {before}. Milliseconds, medians of {rounds} rounds in turn; now / before within a round, "
        "median and range. Gradient descent runs the same torch in both and shows the machine's noise.",
        "",
        *table(["", "before", "now", "now / before", "each round"], rows),
    ]
    page = write_results(
        "beside_commit",
        "Speed beside an earlier commit",
        script="benchmarks/beside_commit.py",
        record={"before": before, "runs": runs},
        lines=lines,
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire({"measure": measure, "once": once})
