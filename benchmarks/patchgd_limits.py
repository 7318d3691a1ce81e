"""Says how large an image and a batch fit into 4, 16 and 24 GB, for PatchGD and gradient descent, from measured bytes.

    bash scripts/setup.sh test && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_limits.py

A training step of ResNet50 and of MobileNetV2 (float32, Adam, attention pooling) runs in a process of its own at
several sizes, and the most memory that it takes beyond the imported libraries is read from the kernel. A model of two
or four numbers is fitted to some of them and tested on others:

    gradient descent   weights + pixel * batch * size^2
    PatchGD            weights + cell * batch * cells
                       + the larger of pixel * patches at a time * patch^2 and head * batch * cells

The head's pass is over before patches are encoded with gradient: the larger of the two counts. Its number is fitted to
one more process, in which it is the larger one.

Patches are noise that is drawn as it is read: no image is in memory. For PatchGD some chunks are filled and one is
encoded with gradient: its memory doesn't depend on how many follow. glibc hands freed blocks back at once. A GPU takes
0.6 GiB besides (`RESERVED`; assumed, no GPU was at hand): its context and what cuDNN works with.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
import numpy as np
import torch
from patchgd_memory import GLIBC, fill_and_step, memory_mib
from results_file import table, write_results
from torch import Tensor, nn

from monai_patchgrow.networks import backbone, classification_head
from monai_patchgrow.schedules import PatchGrid

NETWORKS = {"resnet50": "ResNet50", "mobilenet_v2": "MobileNetV2"}
PATCH, AT_A_TIME, LATENT_DIM, CLASSES = 256, 16, 256, 6
LIMITS, RESERVED = (4, 16, 24), 0.6  # GiB
BATCH_SIZES = (2048, 8192, 100_096)  # pixels, of images whose largest batch is asked for
FILLED = 2  # chunks
# (batch, size in pixels, patches at a time)
POINTS: dict[str, dict[str, Sequence[tuple[int, int, int]]]] = {
    "descent": {
        "fitted": ((1, 512, 0), (1, 768, 0), (2, 768, 0)),
        "tested": ((1, 256, 0), (4, 512, 0), (1, 1280, 0)),
    },
    "patchgd": {
        "fitted": ((1, 4096, 4), (1, 4096, 16), (1, 65536, 4)),
        "head": ((1, 131_072, 4),),
        "tested": ((1, 8192, 8), (4, 32768, 8), (2, 100_096, 12), (1, 200_192, 8)),
    },
}


class Noise:
    """A tile source of an image that is nowhere: every patch is drawn, the same each time."""

    def __init__(self, size: int) -> None:
        self.shape = (3, size, size)

    def read(self, cells: Sequence[Any]) -> Tensor:
        """The patches of cells of one size, `(len(cells), 3, *patch)` uint8."""
        drawn = [np.random.default_rng([axis.start for axis in cell]) for cell in cells]
        return torch.stack([torch.from_numpy(one.integers(0, 256, (3, PATCH, PATCH), np.uint8)) for one in drawn])


def measure(folder: str = "runs/patchgd_limits") -> None:
    """Run every process that no earlier call has, then fit, test and write the table."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    found = {}
    for network in NETWORKS:
        for way, groups in POINTS.items():
            for group, points in groups.items():
                for point in points:
                    path = place / f"{network}_{way}_{'_'.join(map(str, point))}.json"
                    if not path.exists():
                        path.write_text(json.dumps({"mib": measure_apart(network, way, *point)}))
                    found[network, way, group, point] = json.loads(path.read_text())["mib"]
                    print(path.stem, f"{found[network, way, group, point]:.0f} MiB", flush=True)
    print(report(found).read_text())


def measure_apart(*task: Any) -> float:
    """What `measure_here` finds in a fresh process."""
    command = [sys.executable, __file__, "measure_here", *map(str, task)]
    done = subprocess.run(command, env={**os.environ, **GLIBC}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{task}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def measure_here(network: str, way: str, batch: int, size: int, at_a_time: int) -> None:
    """Take one step in this process and print the most MiB that it held beyond the libraries."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nn.Conv2d(3, 8, 3)(torch.rand(1, 3, 32, 32)).sum().backward()  # loads what any network needs
    before = memory_mib("VmRSS")
    encoder = backbone(network, in_channels=3, latent_dim=LATENT_DIM)
    head = classification_head("attention", latent_dim=LATENT_DIM, num_outputs=CLASSES)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()])
    for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
        weight.grad = torch.zeros_like(weight)
    optimizer.step()  # its state is there, as it is from the first step on
    take = descend if way == "descent" else take_pass
    take(encoder, head, optimizer, [Noise(size)] * batch, at_a_time)
    print(memory_mib("VmHWM") - before)


def descend(encoder: nn.Module, head: nn.Module, optimizer: Any, images: Sequence[Noise], _: int) -> None:
    """Gradient descent on all patches at once."""
    grid = PatchGrid(images[0].shape[1:], (PATCH, PATCH))
    cells = [grid.slices(cell) for cell in range(grid.num_cells)]
    patches = torch.cat([image.read(cells) for image in images]).float().div_(255)
    latent = encoder(patches).unflatten(0, (len(images), *grid.shape)).movedim(-1, 1)
    nn.functional.cross_entropy(head(latent), torch.ones(len(images), dtype=torch.int64)).backward()
    optimizer.step()


def take_pass(encoder: nn.Module, head: nn.Module, optimizer: Any, images: Sequence[Noise], at_a_time: int) -> None:
    """A pass of PatchGD: some chunks are filled, the first one is encoded with gradient."""
    cells = math.ceil(images[0].shape[1] / PATCH) ** 2
    each = max(1, at_a_time // len(images))
    chunks = [range(first, first + each) for first in range(0, min(cells, FILLED * each), each)]
    fill_and_step(encoder, head, optimizer, images, chunks, at_a_time=at_a_time)


def fit(way: str, measured: dict[tuple[str, tuple[int, int, int]], float]) -> list[float]:
    """The model's numbers, MiB: weights, pixel with gradient, cell, and the head's work for a cell."""
    points = {point: mib for (group, point), mib in measured.items() if group == "fitted"}
    rows = np.array([counts(way, *point) for point in points])
    numbers = np.linalg.lstsq(rows, np.array(list(points.values())), rcond=None)[0].tolist()
    [head] = [
        (mib - numbers[0]) / counts(way, *point)[2] - numbers[2]
        for (group, point), mib in measured.items()
        if group == "head"
    ] or [0.0]
    return [*numbers, head]


def counts(way: str, batch: int, size: int, at_a_time: int) -> list[float]:
    """Weights, pixels with gradient, cells."""
    cells = batch * math.ceil(size / PATCH) ** 2
    return [1.0, cells * PATCH**2, 0.0] if way == "descent" else [1.0, max(at_a_time, batch) * PATCH**2, cells]


def told(numbers: Sequence[float], way: str, *point: int) -> float:
    """What the model says of a step, MiB."""
    weights, pixel, cell, head = numbers
    _, pixels, cells = counts(way, *point)
    return weights + cell * cells + max(pixel * pixels, head * cells)


def largest(fits: Any, candidates: Sequence[int]) -> int:
    """The largest of ascending candidates that fits; 0: none."""
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(candidates[middle]) else (low, middle)
    return candidates[low - 1] if low else 0


def report(found: dict[Any, float]) -> Path:
    """Fit, test, and write the tables."""
    models, tests, limits = {}, [], []
    for network, title in NETWORKS.items():
        for way in POINTS:
            own = {key[2:]: mib for key, mib in found.items() if key[:2] == (network, way)}
            numbers = fit(way, own)
            models[f"{network} {way}"] = numbers
            name = {"descent": "gradient descent", "patchgd": "PatchGD"}[way]
            for (group, (batch, size, at_a_time)), mib in own.items():
                said = told(numbers, way, batch, size, at_a_time)
                some = [title, name, batch, size, at_a_time or "all"]
                of = "tested" if group == "tested" else "fitted"
                tests.append([*some, f"{mib:.0f}", f"{said:.0f}", f"{said / mib - 1:+.1%}", of])
            for limit in LIMITS:
                room = (limit - RESERVED) * 1024

                def fits(batch: int, size: int, way: str = way, room: float = room, numbers: Any = numbers) -> bool:
                    return told(numbers, way, batch, size, AT_A_TIME) <= room

                side = largest(lambda cells, fits=fits: fits(1, cells * PATCH), range(1, 40_000)) * PATCH
                batches = [
                    largest(lambda batch, s=s, fits=fits: fits(batch, s), range(1, 100_000)) for s in BATCH_SIZES
                ]
                limits.append([title, name, limit, side or "none", *(batch or "none" for batch in batches)])
    return write_results(
        "patchgd_limits",
        "The largest image and batch that a training step of PatchGD and of gradient descent has room for",
        script="benchmarks/patchgd_limits.py",
        record={"models": models, "rows": tests, "limits": limits, "reserved_gib": RESERVED},
        lines=[
            f"Float32, Adam, attention pooling of {LATENT_DIM} features; patches of {PATCH} px, {AT_A_TIME} of a batch "
            "at a time (one of each image where the batch is larger). Computed by the model below from bytes that were "
            f"measured on a CPU, {RESERVED} GiB left for a GPU's context; not tried on a GPU. Images are square; they "
            "themselves are read from disk, patch by patch. Nothing above 200 192 px was measured.",
            "",
            *table(
                ["", "", "GiB", "largest image, px", *(f"largest batch at {size} px" for size in BATCH_SIZES)], limits
            ),
            "",
            "Measured, and told by the model:",
            "",
            *table(
                ["", "", "batch", "px", "patches at a time", "measured, MiB", "model, MiB", "off by", "point"], tests
            ),
        ],
    )


if __name__ == "__main__":
    fire.Fire({"measure_here": measure_here} if "measure_here" in sys.argv else measure)
