"""PatchGD on UltraMNIST beside gradient descent and a shrunk image, by its options, and on the paper's range of digits.

    bash scripts/setup.sh plot && . scripts/environment.sh
    .venv/bin/python benchmarks/patchgd_learning train
    .venv/bin/python benchmarks/patchgd_learning train --ways options --seeds '[0]' --passes 2100
    .venv/bin/python benchmarks/patchgd_learning train --ways range --seeds '[0]' --passes 4000
    .venv/bin/python benchmarks/patchgd_learning report

Images of 512 px with small digits, drawn from real MNIST (`data`, or the folder mnist in PATCHGROW_DATA); no drawing is
in both training and validation. "PatchGD" has 1/16 of an image's patches in memory with gradient at a time, "gradient
descent" all of them; they take the same step but for rounding, so what differs is time and memory, and accuracy by
chance alone. "Shrunk image" is the image at 1/16 of its area, all of it in memory, seen by the same encoder, whose
kernels suit digits at full size. All see the same images in the same order, from the same initial weights; a batch is
one pass, and where nothing else is said one step of Adam. Single digits come first, then sums. Patches without ink are
encoded once for all of their kind, which is exact. The sum is learnt as a number. Memory is what autograd keeps for the
backward pass, at most at a time, over the last pass.

The ways of `range` have digits of 14 to 252 px, as the paper has. The first of them shows an image's coarser levels
beside it, so that any digit is in one of them about as large as the smallest.

Each run writes one JSON to benchmarks/results/patchgd_learning, and one that is there isn't repeated: several calls may
run beside each other. `report` writes a dated JSON, Markdown and picture to benchmarks/results.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from growing_images import draw_images, load
from report import draw, page_lines
from results_file import RESULTS, hardware, write_results
from ways import GROUPS, WAYS, Network, SavedBytes, Way, predict, take_pass

from monai_patchgrow.data import UltraMNIST
from monai_patchgrow.files import write_whole
from monai_patchgrow.losses import regression_grades

BATCH, LEARNING_RATE, WARM_UP = 16, 4e-3, 50
VALIDATION_IMAGES, MARKS = 1120, 5
SUMS = 28


def train(
    ways: str | Sequence[str] = "compared",
    seeds: Sequence[int] = (0, 1, 2),
    passes: int = 7000,
    data: str | None = None,
) -> None:
    """Train ways, a list of their names or the name of a group, with every seed, as far as no earlier call has."""
    names = list(GROUPS.get(ways, [ways])) if isinstance(ways, str) else list(ways)
    if unknown := [name for name in names if name not in WAYS]:
        sys.exit(f"no way is called {unknown[0]!r}; there are {'; '.join(WAYS)}, and the groups {'; '.join(GROUPS)}")
    folder = data or os.path.join(os.environ.get("PATCHGROW_DATA", ""), "mnist")
    for seed in seeds:
        for name in names:
            path = _results() / f"{name.replace(' ', '_').replace(',', '')}_{passes}_seed{seed}.json"
            if not path.exists():
                run = _train_one(WAYS[name], seed=seed, passes=passes, folder=folder)
                write_whole(json.dumps({"way": name, **run, "hardware": hardware()}) + "\n", path)
                print(path.name, run["marks"][-1], flush=True)


def _train_one(way: Way, *, seed: int, passes: int, folder: str) -> dict[str, Any]:
    """One run in one thread: its validation at several marks, seconds of the processor, and bytes of the last pass."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = Network.make(way.head)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.0, 1 - step / passes)
    )
    validation = draw_images(VALIDATION_IMAGES, "val", folder, seed=7, stage=way.stages[-1])
    marks: list[dict[str, float]] = []
    saved = SavedBytes()
    seconds, number, ended = 0.0, 0, 0.0
    for place, stage in enumerate(way.stages):
        ended += stage.share
        first, number_after = number, round(ended * passes)
        images = draw_images((number_after - first) * BATCH, "train", folder, seed=100 + 10 * seed + place, stage=stage)
        for number in range(first + 1, number_after + 1):
            at = (number - first - 1) * BATCH
            batch, target = load(images, range(at, at + BATCH), way.levels)
            saved = SavedBytes()
            started = time.process_time()
            take_pass(
                way,
                network,
                optimizer,
                batch,
                target,
                draw=(seed, number),
                patch=way.patch(number / passes),
                saved=saved,
            )
            schedule.step()
            seconds += time.process_time() - started
            if number % max(1, passes // MARKS) == 0 or number == passes:
                marks.append({"passes": number, "cpu_s": seconds, **validate(way, network, validation)})
                print(marks[-1], flush=True)
    record = {"seed": seed, "passes": passes, "cpu_s": seconds, "saved_mib": saved.most / 2**20}
    return {**record, "marks": marks}


@torch.no_grad()
def validate(way: Way, network: Network, images: UltraMNIST) -> dict[str, float]:
    """Share of the images whose sum is met, and the mean absolute error of the sum."""
    errors = []
    network.switch(training=False)
    for first in range(0, len(images), 28):
        batch, target = load(images, range(first, min(first + 28, len(images))), way.levels)
        errors.append(regression_grades(predict(way, network, batch, way.patch()), SUMS) - target)
    network.switch(training=True)
    error = torch.cat(errors).float()
    return {"accuracy": (error == 0).float().mean().item(), "error": error.abs().mean().item()}


def report() -> None:
    """Write what the runs that there are reached: a page, its record, and a picture."""
    runs = [json.loads(path.read_text()) for path in sorted(_results().glob("*.json"))]
    page = write_results(
        "patchgd_learning",
        "PatchGD, gradient descent and a shrunk image on UltraMNIST",
        script="benchmarks/patchgd_learning",
        record={"batch": BATCH, "runs": runs},
        lines=[
            f"Batches of {BATCH} new images, {VALIDATION_IMAGES} validation images with other digits. The sum is "
            f"learnt as a number; without looking {1 / SUMS:.1%}, error 7.0.",
            *page_lines(runs),
        ],
    )
    draw(runs, page.with_suffix(".png"))
    print(page.read_text())


def _results() -> Path:
    folder = RESULTS / "patchgd_learning"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    fire.Fire({"train": train, "report": report})
