"""Trains PatchGD, plain gradient descent and a shrunk image on UltraMNIST, with the same network and images.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_learning.py

Images of 512 px with small digits, drawn from real MNIST (`data`, or the folder mnist in PATCHGROW_DATA); no drawing is
in both training and validation. "PatchGD" has 1/16 of an image's patches in memory with gradient at a time, "gradient
descent" all of them; "shrunk image" is the image at 1/16 of its area, so that the encoder takes as much memory on the
whole of it as on a chunk of PatchGD. All see the same images in the same order, from the same initial weights; a batch
is one pass and one step of Adam. The images grow (`GROWTH`): single digits first, then sums; the shrunk image shrinks
each of them. Patches without ink are encoded once for all of their kind, which is exact. The sum is learnt as a number.

Each run writes one JSON to benchmarks/results/patchgd_learning, and one that is there isn't repeated: two calls with
other seeds may run beside each other. `report` writes a dated JSON and Markdown to benchmarks/results.

    .venv/bin/python benchmarks/patchgd_learning.py train --ways '["PatchGD"]' --seeds '[0]'
    .venv/bin/python benchmarks/patchgd_learning.py report
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fire
import torch
from results_file import RESULTS, hardware, table, write_results
from torch import Tensor, nn

from monai_patchgrow.data import UltraMNIST, read_digits
from monai_patchgrow.data.tiles.constant import merge_constant_patches
from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.files import write_whole
from monai_patchgrow.losses import RegressionLoss, regression_grades
from monai_patchgrow.networks import PlainCNN, SumPoolingHead
from monai_patchgrow.schedules.patch_grid import PatchGrid

SIZE, PATCH, STRIDE, SHARE = 512, 96, 64, 16
SHRINK = int(SHARE**0.5)
DIGIT_PIXELS = (16, 24)
CHANNELS, KERNELS, STRIDES = (16, 32, 64, 64, 64, 64), (6, 4, 3, 3, 3, 1), (2, 2, 1, 1, 1, 1)
FEATURES = 64
BATCH, LEARNING_RATE, WARM_UP = 16, 4e-3, 50
VALIDATION_IMAGES, MARKS = 1120, 5
SUMS = 28
PATCHGD, DESCENT, SHRUNK = "PatchGD", "gradient descent", "shrunk image"
WAYS = (PATCHGD, DESCENT, SHRUNK)


@dataclass(frozen=True)
class Stage:
    """Images that a share of the passes is over."""

    share: float
    digit_counts: tuple[int, ...]
    size: int


GROWTH = (Stage(0.5, (1,), 96), Stage(0.15, (1, 2, 3), 192), Stage(0.35, (3, 4, 5), SIZE))
WHOLE = (Stage(1.0, (3, 4, 5), SIZE),)


@dataclass(frozen=True)
class Network:
    """Encoder and head."""

    encoder: nn.Module
    head: nn.Module

    @classmethod
    def make(cls) -> Network:
        """The same for all ways."""
        encoder = PlainCNN(
            1, FEATURES, channels=CHANNELS, kernel_sizes=KERNELS, strides=STRIDES, padded=False, gated=True
        )
        return cls(encoder, SumPoolingHead(FEATURES, 1))

    def parameters(self) -> list[nn.Parameter]:
        """All of them."""
        return [*self.encoder.parameters(), *self.head.parameters()]


def train(
    ways: Sequence[str] = WAYS,
    seeds: Sequence[int] = (0, 1, 2),
    passes: int = 7000,
    grow: bool = True,
    data: str | None = None,
) -> None:
    """Train every way with every seed, as far as no earlier call has; `grow=False`: sums from the start."""
    folder = data or os.path.join(os.environ.get("PATCHGROW_DATA", ""), "mnist")
    for seed in seeds:
        for way in ways:
            path = _results() / f"{way.replace(' ', '_')}_{passes}{'' if grow else '_whole'}_seed{seed}.json"
            if not path.exists():
                run = _train_one(way, seed=seed, passes=passes, growth=GROWTH if grow else WHOLE, folder=folder)
                write_whole(json.dumps({**run, "grow": grow, "hardware": hardware()}) + "\n", path)


def _train_one(way: str, *, seed: int, passes: int, growth: Sequence[Stage], folder: str) -> dict[str, Any]:
    """One run in one thread: its validation at several marks, and seconds of the processor."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = Network.make()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.0, 1 - step / passes)
    )
    validation = make_images(VALIDATION_IMAGES, "val", folder, seed=7, stage=WHOLE[0])
    take: Callable[..., None] = patchgd if way == PATCHGD else descend
    marks: list[dict[str, float]] = []
    seconds, number, ended = 0.0, 0, 0.0
    for place, stage in enumerate(growth):
        ended += stage.share
        last = round(ended * passes)
        images = make_images((last - number) * BATCH, "train", folder, seed=100 + 10 * seed + place, stage=stage)
        for at in range(last - number):
            batch, target = load(images, range(at * BATCH, (at + 1) * BATCH))
            started = time.process_time()
            optimizer.zero_grad()
            take(network, optimizer, batch, target, number=number, seed=seed, way=way)
            schedule.step()
            seconds += time.process_time() - started
            number += 1
            if number % max(1, passes // MARKS) == 0 or number == passes:
                marks.append({"passes": number, "cpu_s": seconds, **validate(network, validation, way)})
                print(way, seed, marks[-1], flush=True)
    return {"way": way, "seed": seed, "passes": passes, "cpu_s": seconds, "marks": marks}


def make_images(count: int, split: Any, folder: str, *, seed: int, stage: Stage) -> UltraMNIST:
    """The data set of a split of the real digits."""
    digits = read_digits(folder, split)
    return UltraMNIST(
        count, stage.size, seed, digits=digits, digit_pixels=DIGIT_PIXELS, digit_counts=stage.digit_counts
    )


def load(images: UltraMNIST, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images ``(B, 1, size, size)`` uint8 and their sums ``(B,)``."""
    items = [images[index] for index in indices]
    stacked = torch.stack([torch.as_tensor(item["image"]) for item in items])
    return stacked, torch.tensor([item["label"] for item in items])


def ink(pixels: Tensor) -> Tensor:
    """Bytes to 0..2, since most of an image is 0."""
    return pixels.float().div_(127.5)


def clip(network: Network, optimizer: torch.optim.Optimizer) -> None:
    """A step, its gradient's norm at most 1."""
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def patchgd(
    network: Network, optimizer: Any, batch: Tensor, target: Tensor, *, number: int, seed: int, **_: Any
) -> None:
    """One pass, exact, chunks drawn anew."""
    cells = PatchGrid(batch.shape[2:], (PATCH, PATCH), (STRIDE, STRIDE)).num_cells
    chunks = Sampling(1 / min(SHARE, cells)).draw(range(cells), seed=seed, epoch=1, iteration=number, from_fill=True)
    patchgd_pass(
        encoder=network.encoder,
        head=network.head,
        loss_function=RegressionLoss("huber"),
        images=batch,
        normalise=ink,
        target=target,
        patch_size=(PATCH, PATCH),
        stride=(STRIDE, STRIDE),
        fill_chunks=chunks.fill,
        inner_chunks=chunks.inner,
        accumulation=len(chunks.inner),
        exact=True,
        true_gradient=True,
        skip_background=True,
        step=lambda: clip(network, optimizer),
    )


def descend(network: Network, optimizer: Any, batch: Tensor, target: Tensor, *, way: str, **_: Any) -> None:
    """One step of gradient descent on all patches, or on the shrunk image."""
    RegressionLoss("huber")(predict(network, batch, way), target).backward()
    clip(network, optimizer)


def predict(network: Network, batch: Tensor, way: str) -> Tensor:
    """The network's output ``(B, 1)``, all patches at once; the shrunk image is one patch."""
    images, patch, step = ink(batch), PATCH, STRIDE
    if way == SHRUNK:
        size = images.shape[2] // SHRINK
        images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        patch = step = max(size, PATCH)
    grid = PatchGrid(images.shape[2:], (patch, patch), (step, step))
    short = [step * (cells - 1) + patch - size for cells, size in zip(grid.shape, images.shape[2:], strict=True)]
    images = nn.functional.pad(images, (0, short[1], 0, short[0]))
    patches = images.unfold(2, patch, step).unfold(3, patch, step).movedim(1, 3)
    some, rows = merge_constant_patches(patches.flatten(0, 2))
    return network.head(network.encoder(some)[rows].unflatten(0, patches.shape[:3]).movedim(-1, 1))


@torch.no_grad()
def validate(network: Network, images: UltraMNIST, way: str) -> dict[str, float]:
    """Share of the images whose sum is met, and the mean absolute error of the sum."""
    errors = []
    for first in range(0, len(images), 28):
        batch, target = load(images, range(first, min(first + 28, len(images))))
        errors.append(regression_grades(predict(network, batch, way), SUMS) - target)
    error = torch.cat(errors).float()
    return {"accuracy": (error == 0).float().mean().item(), "error": error.abs().mean().item()}


def report() -> None:
    """Write what the runs that there are reached."""
    runs = [json.loads(path.read_text()) for path in sorted(_results().glob("*.json"))]
    rows = []
    for way in WAYS:
        kinds = sorted({(run["passes"], run["grow"]) for run in runs if run["way"] == way})
        for passes, grow in kinds:
            own = [run for run in runs if (run["way"], run["passes"], run["grow"]) == (way, passes, grow)]
            last = [run["marks"][-1] for run in own]
            rows.append(
                [
                    way,
                    "single digits first" if grow else "sums from the start",
                    passes,
                    f"{statistics.mean(mark['accuracy'] for mark in last):.1%}",
                    ", ".join(f"{mark['accuracy']:.1%}" for mark in last),
                    f"{statistics.mean(mark['error'] for mark in last):.2f}",
                    f"{statistics.mean(run['cpu_s'] for run in own) / 60:.0f}",
                ]
            )
    page = write_results(
        "patchgd_learning",
        "PatchGD, gradient descent and a shrunk image on UltraMNIST",
        script="benchmarks/patchgd_learning.py",
        record={"batch": BATCH, "digit_pixels": DIGIT_PIXELS, "runs": runs},
        lines=[
            f"Images of {SIZE} px with 3 to 5 digits of {DIGIT_PIXELS[0]} to {DIGIT_PIXELS[1]} px from real MNIST, "
            f"batches of {BATCH} new images. The sum is learnt as a number; without looking 3.6 %, error 7.0. "
            f"Patches of {PATCH} px, {STRIDE} px apart, 1/{SHARE} of them in a chunk; the shrunk image has "
            f"{SIZE // SHRINK} px. {VALIDATION_IMAGES} validation images with other digits.",
            "",
            *table(["", "images", "passes", "accuracy", "each seed", "mean error", "CPU minutes"], rows),
        ],
    )
    print(page.read_text())


def _results() -> Path:
    folder = RESULTS / "patchgd_learning"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    fire.Fire({"train": train, "report": report})
