"""Measures what one patch costs on RandPatchesd and on MONAI's stock crop, in turn, in one thread.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/patches.py

512 patches of 8x8x8 (image and label) of one volume. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import fire
import torch
from monai.data import MetaTensor
from monai.transforms import ClassesToIndicesd, FgBgToIndicesd, RandCropByPosNegLabeld
from results_file import table, write_results

from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.transforms import AugmentationRecipe, RandPatchesd
from monai_patchgrow.transforms.patches import LOCATIONS_PER_CLASS

PATCH = (8, 8, 8)
VOLUMES = ((40, 60, 40), (200, 200, 120))
KEYS = ["image", "label"]


def measure(patches: int = 512, rounds: int = 7) -> None:
    """Time every way of drawing on every volume, in turn, `rounds` times; medians count."""
    torch.set_num_threads(1)
    results = {}
    for shape in VOLUMES:
        ways = make_ways(shape, patches)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way()
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append((time.perf_counter() - start) / patches * 1e6)
        results[format_size(shape)] = {name: statistics.median(some) for name, some in times.items()}
    rows = [
        [shape, name, f"{figure:.2f}", f"{figures['RandCropByPosNegLabeld'] / figure:.0f}"]
        for shape, figures in results.items()
        for name, figure in figures.items()
    ]
    print(
        write_results(
            "patches",
            "Microseconds per patch of 8x8x8, image and label",
            script="benchmarks/patches.py",
            record={"patches": patches, "rounds": rounds, "microseconds_per_patch": results},
            lines=[
                f"{patches} patches of one volume, one thread, median of {rounds} rounds in turn.",
                "",
                *table(["volume", "transform", "us per patch", "times faster than the stock crop"], rows),
            ],
        ).read_text()
    )


def make_ways(shape: tuple[int, ...], patches: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; foreground is a box of a few per cent of the volume, of two classes."""
    label = torch.zeros(1, *shape)
    label[:, 12:20, 12:30, 12:30] = 1
    label[:, 20:28, 12:30, 12:30] = 2
    image = torch.rand(1, *shape)
    plain = {"image": image, "label": label.to(torch.uint8)}
    located = ClassesToIndicesd("label", num_classes=3, max_samples_per_class=LOCATIONS_PER_CLASS)(plain)
    meta = {"image": MetaTensor(image), "label": MetaTensor(label)}
    indexed = FgBgToIndicesd("label")({"image": image, "label": label})

    def ours(**options: Any) -> RandPatchesd:
        return RandPatchesd(KEYS, "label", PATCH, num_classes=3, num_samples=patches, **options)

    def stock(**options: Any) -> RandCropByPosNegLabeld:
        return RandCropByPosNegLabeld(KEYS, "label", PATCH, pos=1, neg=1, num_samples=patches, **options)

    straight, warping = ours(), ours(recipe=AugmentationRecipe.nnunet((40, 56, 40)))
    crop = stock()
    crop_indexed = stock(fg_indices_key="label_fg_indices", bg_indices_key="label_bg_indices")
    return {
        "RandCropByPosNegLabeld": lambda: crop(meta),
        "RandCropByPosNegLabeld, indices cached, no meta tensors": lambda: crop_indexed(indexed),
        "RandPatchesd": lambda: straight(located),
        "RandPatchesd with rotation and scaling": lambda: warping(located),
    }


if __name__ == "__main__":
    fire.Fire(measure)
