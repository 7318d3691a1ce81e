"""Measures what augmentation costs per stage on the real MSD Task04, for one batch in one thread.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/augmentation.py

Per batch: drawing its patches straight, drawing them with rotation and scaling, and everything else for the whole
batch; in turn, medians of several rounds. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import fire
import torch
from results_file import table, write_results
from task04 import PLAN, find_task04, make_trainer

from monai_patchgrow.schedules import GrowthSchedule, Stage
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.transforms import AugmentationRecipe, BatchAugmentation, RandPatchesd, concatenate_patches

RECIPE = AugmentationRecipe.nnunet(PLAN["patch_size"], through_plane_axis=PLAN["axis_order"][0])


def measure(
    data: str | None = None, curricula: Sequence[str] = ("efficiency", "performance"), rounds: int = 15
) -> None:
    """Time one batch of every stage, `rounds` times in turn, and write the results."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(dataset_dir=find_task04(data), output_dir=folder, cache_dir=f"{folder}/cache")
        cases = trainer.data_loader.dataset.dataset
        volumes = [{**cases._items[cases._files[index]]} for index in range(PLAN["batch_size"])]
        record: dict[str, Any] = {}
        lines = ["One thread, milliseconds per batch.", ""]
        for curriculum in curricula:
            stages = GrowthSchedule.plan(**PLAN, curriculum=curriculum).stages
            record[curriculum] = [time_stage(stage, volumes, rounds) for stage in stages]
            rows = [
                [format_size(stage.patch_size), stage.batch_size, *(f"{ms:.1f}" for ms in times.values())]
                for stage, times in zip(stages, record[curriculum], strict=True)
            ]
            lines += ["", f"## {curriculum}", "", *table(["patch", "patches", *record[curriculum][0]], rows)]
    title = "What augmentation costs per stage, Task04"
    page = write_results(
        "augmentation",
        title,
        script="benchmarks/augmentation.py",
        record={"rounds": rounds, "milliseconds_per_batch": record},
        lines=lines,
    )
    print(page.read_text())


def time_stage(stage: Stage, volumes: list[dict[str, Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each part for one batch of a stage."""
    straight, warping = (draw(stage, volumes, recipe) for recipe in (None, RECIPE))
    batch = straight()
    augment = BatchAugmentation(RECIPE)
    seeds = iter(range(rounds + 1))
    parts: dict[str, Callable[[], Any]] = {
        "drawn straight": straight,
        "with rotation and scaling": warping,
        "the other augmentations": lambda: augment(batch["image"], batch["label"], seed=next(seeds)),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(rounds + 1):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(some) for name, some in times.items()}


def draw(stage: Stage, volumes: list[dict[str, Any]], recipe: AugmentationRecipe | None) -> Callable[[], Any]:
    """What draws one batch of a stage from all volumes."""
    each, rest = divmod(stage.batch_size, len(volumes))
    transforms = [
        RandPatchesd(
            ["image", "label"],
            "label",
            stage.patch_size,
            num_classes=3,
            num_samples=each + (number < rest),
            recipe=recipe,
        )
        for number in range(len(volumes))
    ]
    return lambda: concatenate_patches(
        [transform(volume) for transform, volume in zip(transforms, volumes, strict=True)]
    )


if __name__ == "__main__":
    fire.Fire(measure)
