"""Trains PatchGD, plain gradient descent and a shrunk image on UltraMNIST, with the same network and number of passes.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_learning.py

Images of 512 px with small digits, drawn from real MNIST (`data`, or the folder mnist in PATCHGROW_DATA); no drawing is
in both training and validation. "PatchGD" has 1/16 of an image's patches in memory with gradient at a time, "gradient
descent" all of them; "shrunk image" is the image at 1/16 of its area, so that the encoder takes as much memory on the
whole of it as on a chunk of PatchGD. All see the same images in the same order, from the same initial weights; a batch
is one pass and one step of Adam. Patches without ink are encoded once for all of their kind, which is exact. Writes a
dated JSON and Markdown to benchmarks/results, anew after each run.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fire
import torch
from results_file import table, write_results
from torch import Tensor, nn

from monai_patchgrow.data import UltraMNIST, read_digits
from monai_patchgrow.data.tiles.constant import merge_constant_patches
from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.losses import OrdinalLoss, ordinal_grades
from monai_patchgrow.networks import PlainCNN, SumPoolingHead

SIZE, PATCH, SHARE = 512, 64, 16
SHRUNK_SIZE = int(SIZE / SHARE**0.5)
DIGIT_PIXELS = (16, 24)
FEATURES = 64
BATCH, LEARNING_RATE, WARM_UP = 16, 4e-3, 50
VALIDATION_IMAGES, MARKS = 1120, 5
SUMS = 28
PATCHGD, DESCENT, SHRUNK = "PatchGD", "gradient descent", "shrunk image"


def measure(data: str | None = None, passes: int = 1600, seeds: int = 3, workers: int = 2) -> None:
    """Train every way with every seed, `workers` of one thread at a time, and write what they reached."""
    folder = data or os.path.join(os.environ.get("PATCHGROW_DATA", ""), "mnist")
    jobs = [(way, seed, passes, folder) for seed in range(seeds) for way in (PATCHGD, DESCENT, SHRUNK)]
    runs: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        for run in pool.imap_unordered(train, jobs):
            runs.append(run)
            page = report(runs, passes, expected=len(jobs))
    print(page.read_text())


def train(job: tuple[str, int, int, str]) -> dict[str, Any]:
    """One run: its validation at several marks, and seconds of the processor."""
    way, seed, passes, folder = job
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    encoder = PlainCNN(1, FEATURES)  # divides by the root of a patch's positions, of which the shrunk image has more
    head = SumPoolingHead(FEATURES, SUMS - 1, scale=0.125 * (SHRUNK_SIZE / PATCH if way == SHRUNK else 1))
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.02, 1 - step / passes)
    )
    images = make_images(passes * BATCH, "train", folder, seed=100 + seed)
    validation = make_images(VALIDATION_IMAGES, "val", folder, seed=7)
    take: Callable[..., None] = patchgd if way == PATCHGD else descend
    marks, seconds = [], 0.0
    for number in range(passes):
        batch, target = load(images, range(number * BATCH, (number + 1) * BATCH))
        started = time.process_time()
        take(encoder, head, optimizer, batch, target, number=number, seed=seed, way=way)
        schedule.step()
        seconds += time.process_time() - started
        if (number + 1) % max(1, passes // MARKS) == 0:
            marks.append({"passes": number + 1, **validate(encoder, head, validation, way)})
            print(way, seed, marks[-1], f"{seconds:.0f} s", flush=True)
    return {"way": way, "seed": seed, "cpu_s": seconds, "marks": marks}


def make_images(count: int, split: Any, folder: str, *, seed: int) -> UltraMNIST:
    """The data set of a split of the real digits."""
    return UltraMNIST(count, SIZE, seed, digits=read_digits(folder, split), digit_pixels=DIGIT_PIXELS)


def load(images: UltraMNIST, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images ``(B, 1, SIZE, SIZE)`` uint8 and their sums ``(B,)``."""
    items = [images[index] for index in indices]
    stacked = torch.stack([torch.as_tensor(item["image"]) for item in items])
    return stacked, torch.tensor([item["label"] for item in items])


def ink(pixels: Tensor) -> Tensor:
    """Bytes to 0..2, since most of an image is 0."""
    return pixels.float().div_(127.5)


def patchgd(
    encoder: nn.Module,
    head: nn.Module,
    optimizer: Any,
    batch: Tensor,
    target: Tensor,
    *,
    number: int,
    seed: int,
    **_: Any,
) -> None:
    """One pass, exact, chunks drawn anew."""

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad()

    chunks = Sampling(1 / SHARE).draw(range((SIZE // PATCH) ** 2), seed=seed, epoch=1, iteration=number, from_fill=True)
    patchgd_pass(
        encoder=encoder,
        head=head,
        loss_function=OrdinalLoss(SUMS),
        images=batch,
        normalise=ink,
        target=target,
        patch_size=(PATCH, PATCH),
        fill_chunks=chunks.fill,
        inner_chunks=chunks.inner,
        accumulation=SHARE,
        exact=True,
        skip_background=True,
        step=step,
    )


def descend(
    encoder: nn.Module, head: nn.Module, optimizer: Any, batch: Tensor, target: Tensor, *, way: str, **_: Any
) -> None:
    """One step of gradient descent on all patches, or on the shrunk image."""
    optimizer.zero_grad()
    OrdinalLoss(SUMS)(predict(encoder, head, batch, way), target).backward()
    optimizer.step()


def predict(encoder: nn.Module, head: nn.Module, batch: Tensor, way: str) -> Tensor:
    """The network's output, all patches at once."""
    images, patch = ink(batch), PATCH
    if way == SHRUNK:
        patch = SHRUNK_SIZE
        images = nn.functional.interpolate(images, size=(patch, patch), mode="bilinear", antialias=True)
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch).movedim(1, 3)
    some, rows = merge_constant_patches(patches.flatten(0, 2))
    return head(encoder(some)[rows].unflatten(0, patches.shape[:3]).movedim(-1, 1))


@torch.no_grad()
def validate(encoder: nn.Module, head: nn.Module, images: UltraMNIST, way: str) -> dict[str, float]:
    """Share of the images whose sum is met, and the mean absolute error of the sum."""
    errors = []
    for first in range(0, len(images), 28):
        batch, target = load(images, range(first, min(first + 28, len(images))))
        errors.append(ordinal_grades(predict(encoder, head, batch, way)) - target)
    error = torch.cat(errors).float()
    return {"accuracy": (error == 0).float().mean().item(), "error": error.abs().mean().item()}


def report(runs: Sequence[dict[str, Any]], passes: int, *, expected: int) -> Path:
    """Write the runs that there are."""
    rows, means = [], {}
    for way in (PATCHGD, DESCENT, SHRUNK):
        own = sorted((run for run in runs if run["way"] == way), key=lambda run: run["seed"])
        if not own:
            continue
        last = [run["marks"][-1] for run in own]
        means[way] = {key: statistics.mean(mark[key] for mark in last) for key in ("accuracy", "error")}
        accuracies = ", ".join(f"{mark['accuracy']:.1%}" for mark in last)
        errors = ", ".join(f"{mark['error']:.2f}" for mark in last)
        cpu = statistics.mean(run["cpu_s"] for run in own) / passes * 1e3
        mean = f"{means[way]['accuracy']:.1%}", f"{means[way]['error']:.2f}"
        rows.append([way, mean[0], accuracies, mean[1], errors, f"{cpu:.0f}"])
    there = f"{len(runs)} of {expected} runs are done." if len(runs) < expected else ""
    return write_results(
        "patchgd_learning",
        "PatchGD, gradient descent and a shrunk image on UltraMNIST",
        script="benchmarks/patchgd_learning.py",
        record={"passes": passes, "batch": BATCH, "digit_pixels": DIGIT_PIXELS, "means": means, "runs": list(runs)},
        lines=[
            f"Images of {SIZE} px with 3 to 5 digits of {DIGIT_PIXELS[0]} to {DIGIT_PIXELS[1]} px from real MNIST; "
            f"{passes} passes over batches of {BATCH} new images. The sum is learnt as a grade (ordinal loss): without "
            f"looking, 3.6 % and an error of 7.0. Patches of {PATCH} px, 1/{SHARE} of them in a chunk; the shrunk "
            f"image has {SHRUNK_SIZE} px. {VALIDATION_IMAGES} validation images with other digits. "
            f"{there}".strip(),
            "",
            *table(["", "accuracy", "each seed", "mean error", "each seed", "CPU ms per pass"], rows),
        ],
    )


if __name__ == "__main__":
    fire.Fire(measure)
