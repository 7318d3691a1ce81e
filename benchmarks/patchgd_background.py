"""Times one pass of PatchGD over a slide that is mostly glass, with its background skipped and without.

    bash scripts/setup.sh tiff && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_background.py

Two slides, tiled TIFFs of two levels: one whose glass is of one value, and one whose glass has noise. All ways take
turns in one run, on the same weights and chunks; a way opens its slide anew. Writes a dated JSON and Markdown to
benchmarks/results.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fire
import tifffile
import torch
from results_file import table, write_results
from torch import Tensor, nn

from monai_patchgrow.data import PaintedTiles, PhantomSlide, TileSource, coarse_thumbnail, open_tiles
from monai_patchgrow.data.synthetic.phantom_slides import GLASS
from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.networks import backbone, classification_head
from monai_patchgrow.schedules import PatchGrid

PATCH = 64
THRESHOLD, WHITE = 220, 255
NOISE = 2
LATENT_DIM, CLASSES = 128, 6
CLEAN, NOISY = "glass of one value", "glass with noise"
WAYS = {
    (CLEAN, "every cell"): (False, False),
    (CLEAN, "skip_background"): (True, False),
    (NOISY, "every cell"): (False, False),
    (NOISY, "skip_background"): (True, False),
    (NOISY, "skip_background, glass painted"): (True, True),
}


def measure(size: int = 2048, rounds: int = 3) -> None:
    """Time each way, `rounds` times in turn, and write the medians of the ratios within each round."""
    torch.manual_seed(0)
    encoder = backbone("resnet18", in_channels=3, latent_dim=LATENT_DIM, norm=("group", {"num_groups": 8}))
    head = classification_head("attention", latent_dim=LATENT_DIM, num_outputs=CLASSES, spatial_dims=2)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {way: [] for way in WAYS}
    encoded: dict[tuple[str, str], int] = {}
    with tempfile.TemporaryDirectory() as folder:
        images = {CLEAN: make_slide(size, noise=0), NOISY: make_slide(size, noise=NOISE)}
        files = {name: write_pyramid(Path(folder) / f"{name}.tif", image) for name, image in images.items()}
        for number in range(rounds):
            for way, (skip, paint) in WAYS.items():
                counts, *seconds = time_pass(encoder, head, files[way[0]], skip=skip, paint=paint)
                encoded[way] = counts
                times[way].append((seconds[0], seconds[1]))
                print(number, way, counts, seconds, flush=True)
    empty = share_of_glass(images[CLEAN])
    report(times, encoded, size=size, rounds=rounds, empty=empty)


def make_slide(size: int, *, noise: int) -> Tensor:
    """Glass ``(3, size, size)`` with a phantom slide of five eighths of its side in the middle."""
    inner = size * 5 // 8
    first = (size - inner) // 2
    slide = torch.full((3, size, size), GLASS, dtype=torch.uint8)
    (tissue,) = PhantomSlide(inner).read([(slice(0, inner), slice(0, inner))])
    slide[:, first : first + inner, first : first + inner] = tissue
    is_glass = (slide == GLASS).all(0)
    shift = torch.randint(-noise, noise + 1, slide.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(is_glass, slide + shift, slide).to(torch.uint8)


def write_pyramid(path: Path, image: Tensor) -> Path:
    """A tiled TIFF of the image and of its half."""
    half = nn.functional.avg_pool2d(image.float(), 2).round().to(torch.uint8)
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate((image, half)):
            options: dict[str, Any] = {"compression": "zlib", "photometric": "rgb", "metadata": None}
            writer.write(level.movedim(0, -1).numpy(), tile=(PATCH, PATCH), subfiletype=int(number > 0), **options)
    return path


def share_of_glass(image: Tensor) -> float:
    """Share of the cells that hold nothing but glass."""
    is_glass = (image == GLASS).all(0)
    return float(is_glass.unfold(0, PATCH, PATCH).unfold(1, PATCH, PATCH).flatten(2).all(2).float().mean())


def time_pass(encoder: nn.Module, head: nn.Module, file: Path, *, skip: bool, paint: bool) -> tuple[int, float, float]:
    """Patches that are encoded in a pass of the exact variant, and its seconds: by the clock, and of the processor."""
    encoder, head = copy.deepcopy(encoder), copy.deepcopy(head)
    counts: list[int] = []
    encoder.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    wall, cpu = time.perf_counter(), time.process_time()
    source: TileSource = open_tiles(file, padding=WHITE)
    if paint:
        source = PaintedTiles(source, partial(coarse_thumbnail, source), threshold=THRESHOLD, colour=WHITE)
    patchgd_pass(
        encoder=encoder,
        head=head,
        loss_function=nn.functional.cross_entropy,
        images=source,
        target=torch.tensor([1]),
        patch_size=(PATCH, PATCH),
        **make_chunks(source),
        step=make_step(encoder, head),
        exact=True,
        skip_background=skip,
    )
    return sum(counts), time.perf_counter() - wall, time.process_time() - cpu


def make_chunks(source: TileSource) -> dict[str, Any]:
    """Eight chunks that visit every cell, the same for every way."""
    count = PatchGrid(source.shape[1:], (PATCH, PATCH)).num_cells
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    chunks = [order[number::8] for number in range(8)]
    return {"fill_chunks": chunks, "inner_chunks": chunks, "accumulation": len(chunks)}


def make_step(encoder: nn.Module, head: nn.Module) -> Callable[[], None]:
    """A step of Adam."""
    return torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3).step


def report(
    times: dict[tuple[str, str], list[tuple[float, float]]],
    encoded: dict[tuple[str, str], int],
    *,
    size: int,
    rounds: int,
    empty: float,
) -> None:
    """Write each way's share of the time of encoding every cell of the same slide."""
    rows = []
    for (slide, way), some in times.items():
        pairs = list(zip(some, times[slide, "every cell"], strict=True))
        shares = [statistics.median(own[kind] / every[kind] for own, every in pairs) for kind in (0, 1)]
        patches = encoded[slide, way] / encoded[slide, "every cell"]
        rows.append([slide, way, f"{patches:.2f}", *(f"{share:.2f}" for share in shares)])
    page = write_results(
        "patchgd_background",
        "A PatchGD pass over a slide that is mostly glass",
        script="benchmarks/patchgd_background.py",
        record={
            "size": size,
            "rounds": rounds,
            "cells_of_glass_alone": empty,
            "wall_and_cpu_s": {", ".join(way): some for way, some in times.items()},
            "patches_encoded": {", ".join(way): count for way, count in encoded.items()},
        },
        lines=[
            f"{size} px in patches of {PATCH} px, {empty:.0%} of which hold nothing but glass, from a tiled TIFF "
            "(deflate) of two levels; ResNet18 with group norm, attention head, eight chunks, the exact variant, "
            "opening the file included. Shares of the same slide with every cell encoded; of time the medians of "
            f"{rounds} rounds in turn, beside other work on the machine.",
            "",
            *table(["slide", "way", "patches encoded", "time", "processor's time"], rows),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire(measure)
