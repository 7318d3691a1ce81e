"""Measures the peak memory of one PatchGD training step on slides of 512 to 32768 px, each in a process of its own.

    bash scripts/setup.sh tiff && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_memory.py

The slides are tiled TIFFs that scripts/make_huge_tiff.py writes into a temporary folder; `slides`, a mapping from size
to file, gives ones that are there. Chunks are an eighth of the image, as `sampling` makes them (of 4 patches at least),
and `chunk_size` lets no more than 4 patches be encoded at a time. Every cell is filled; to stay within minutes on two
cores, one chunk is encoded with gradient (a coverage below 1, which PatchGD allows). The same process without a pass,
which holds network, gradients, Adam's state, Z and dL/dZ, tells what lies there anyway, and what the head takes for its
forward and backward pass on that Z. Plain gradient descent encodes all patches at once, with at most 4 GiB to take.
Writes a dated JSON and Markdown to benchmarks/results.

glibc is told to hand every freed block of 64 KiB or more back at once. With scripts/environment.sh it keeps them for
later (training is faster so), and the peak would be that of the allocator's reserves.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fire
import numpy as np
import torch
from results_file import table, write_results
from torch import nn

from monai_patchgrow.data.tiles.tiff import TiffTiles
from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.networks import classification_head
from monai_patchgrow.networks.encoders.cnn import SmallCNN
from monai_patchgrow.schedules.patch_grid import PatchGrid
from monai_patchgrow.state.latent_grid import LatentGrid

SIZES = (512, 2048, 8192, 32768)
PATCH, AT_A_TIME = (256, 256), 4
CHUNKS = 8
LATENT_DIM, CLASSES = 64, 6
# Wide first layer: much memory for few operations, so that all of 16 384 patches take minutes on two cores.
CHANNELS = (64, 16, 32, 64)
LIMIT = 4 * 2**30
MAKE_SLIDE = Path(__file__).parents[1] / "scripts" / "make_huge_tiff.py"
GLIBC = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_TOP_PAD_": "0",
    "MALLOC_ARENA_MAX": "1",
}


def measure(
    sizes: tuple[int, ...] = SIZES, slides: Mapping[int, str] | None = None, most_fill_chunks: int = CHUNKS
) -> None:
    """Measure every kind of process at every size, and write what each held.

    Args:
        sizes: rows and columns of the slides, pixels, ascending.
        slides: files that are there, by size.
        most_fill_chunks: fill no more of the chunks, where a machine is too slow for all.
    """
    results: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = str((slides or {}).get(size) or make_slide(Path(folder) / f"slide_{size}.tif", size))
            results[size] = {"held": measure_apart("held", path)}
            results[size]["patchgd"] = measure_apart("patchgd", path, str(most_fill_chunks))
            before = [results[smaller]["descent"] for smaller in results if smaller < size]
            results[size]["descent"] = measure_apart("descent", path) if all(before) else None
            print(size, results[size], flush=True)
    report(results, most_fill_chunks)


def make_slide(path: Path, size: int) -> Path:
    """A synthetic slide of `size` x `size` pixels."""
    subprocess.run([sys.executable, str(MAKE_SLIDE), str(path), "--size", str(size)], check=True)
    return path


def measure_apart(kind: str, slide: str, *options: str) -> dict[str, Any] | None:
    """What `measure_here` finds in a fresh process; None where it ran out of memory."""
    command = [sys.executable, __file__, "measure_here", kind, slide, *options]
    done = subprocess.run(command, env={**os.environ, **GLIBC}, capture_output=True, text=True)
    if done.returncode and "can't allocate memory" not in done.stderr:
        raise RuntimeError(f"{kind} on {slide}: {done.stderr[-2000:]}")
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def measure_here(kind: str, slide: str, most_fill_chunks: int = CHUNKS) -> None:
    """Do one thing in this process and print its memory, MiB: `held` (no pass), `patchgd` or `descent`."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    source = TiffTiles(slide)
    grid = PatchGrid(source.shape[1:], PATCH)
    encoder = SmallCNN(source.shape[0], LATENT_DIM, channels=CHANNELS)
    head = classification_head("attention", latent_dim=LATENT_DIM, num_outputs=CLASSES)
    optimizer = make_ready(encoder, head, source)
    our_pass = partial(take_pass, most=most_fill_chunks)
    ways: dict[str, Callable[..., Any]] = {"held": hold_latent, "patchgd": our_pass, "descent": descend}
    started = time.perf_counter()
    found = {"cells": grid.num_cells, **(ways[kind](encoder, head, optimizer, source, grid) or {})}
    print(json.dumps({**found, "seconds": time.perf_counter() - started, "peak_mib": memory_mib("VmHWM")}))


def make_ready(encoder: nn.Module, head: nn.Module, source: TiffTiles) -> torch.optim.Optimizer:
    """Gradients and Adam's state there as after a step; libraries are loaded and threads started on a tiny patch."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    patch = source.read([(slice(0, 32), slice(0, 32))]).float()
    head(encoder(patch)[..., None, None]).sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return optimizer


def hold_latent(encoder: nn.Module, head: nn.Module, optimizer: Any, source: TiffTiles, grid: PatchGrid) -> Any:
    """What lies there beside the patches of a chunk; then the head's forward and backward pass."""
    latent = LatentGrid(torch.ones(1, *grid.shape, dtype=torch.bool), latent_dim=LATENT_DIM)
    values = latent.require_gradient()
    values.grad = torch.zeros_like(values) + 1
    at_rest = memory_mib("VmRSS")
    nn.functional.cross_entropy(head(latent.z, latent.mask), torch.tensor([1])).backward()
    return {"at_rest_mib": at_rest, "latent_mib": 2 * values.numel() * values.element_size() / 2**20}


def take_pass(
    encoder: nn.Module,
    head: nn.Module,
    optimizer: Any,
    source: TiffTiles,
    grid: PatchGrid,
    *,
    most: int = CHUNKS,
) -> None:
    """One pass of PatchGD, exact: the first chunk of the fill is encoded with gradient."""
    order = torch.randperm(grid.num_cells).tolist()
    number = min(CHUNKS, len(order) // AT_A_TIME)
    chunks = [part.tolist() for part in np.array_split(order, number)][:most]
    fill_and_step(encoder, head, optimizer, [source], chunks, at_a_time=AT_A_TIME)


def fill_and_step(
    encoder: nn.Module, head: nn.Module, optimizer: Any, images: Sequence[Any], chunks: Sequence[Any], *, at_a_time: int
) -> None:
    """Fill chunks, and encode the first one with gradient, exact; `at_a_time` patches of all images at a time."""

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    patchgd_pass(
        encoder=encoder,
        head=head,
        loss_function=nn.functional.cross_entropy,
        images=list(images),
        target=torch.ones(len(images), dtype=torch.int64),
        patch_size=PATCH,
        fill_chunks=chunks,
        inner_chunks=chunks[:1],
        accumulation=1,
        chunk_size=at_a_time,
        exact=True,
        step=step,
    )


def descend(encoder: nn.Module, head: nn.Module, optimizer: Any, source: TiffTiles, grid: PatchGrid) -> None:
    """Plain gradient descent of the same network, all patches at once, within the limit."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory_mib("VmData") * 2**20) + LIMIT,) * 2)
    patches = source.read([grid.slices(cell) for cell in range(grid.num_cells)]).float().div_(255)
    latent = encoder(patches).T.unflatten(1, grid.shape)[None]
    nn.functional.cross_entropy(head(latent), torch.tensor([1])).backward()
    optimizer.step()


def memory_mib(field: str) -> float:
    """Of this process, MiB (Linux): VmRSS is resident now, VmHWM was at most, VmData may be written to."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def report(results: Mapping[int, Mapping[str, Any]], most_fill_chunks: int | None) -> None:
    """Write what each size took."""
    rows, beyond = [], []
    for size, found in results.items():
        held, ours, plain = found["held"], found["patchgd"], found["descent"]
        beyond.append(ours["peak_mib"] - held["at_rest_mib"])
        descent = f"{plain['peak_mib'] - held['at_rest_mib']:.0f}" if plain else f"more than {LIMIT / 2**20:.0f}"
        row = [size, held["cells"], f"{beyond[-1]:.1f}", f"{held['latent_mib']:.1f}"]
        head = f"{held['peak_mib'] - held['at_rest_mib']:.1f}"
        rows.append([*row, head, f"{ours['peak_mib']:.0f}", f"{ours['seconds']:.1f}", descent])
    filled = "every cell" if most_fill_chunks >= CHUNKS else f"{most_fill_chunks} chunks"
    spread = max(beyond) / min(beyond) - 1
    page = write_results(
        "patchgd_memory",
        "Peak memory of one PatchGD training step, MiB",
        script="benchmarks/patchgd_memory.py",
        record={
            **{"patch": PATCH, "chunk_size": AT_A_TIME, "channels": CHANNELS, "filled": filled},
            **{"spread": spread, "processes": results},
        },
        lines=[
            f"A slide of RGB pixels, read from a tiled TIFF; patches of {PATCH[0]} px, {AT_A_TIME} encoded at a "
            f"time (chunk_size) of chunks of 1/{CHUNKS} of the image; "
            f"SmallCNN with channels {CHANNELS}, {LATENT_DIM} features, attention pooling; batch of one, float32; "
            f"exact, {filled} filled and one chunk encoded with gradient.",
            "",
            "Beyond network, gradients, Adam's state, Z and dL/dZ, sizes differ by at most "
            f"{spread:.1%}. The head's own pass comes before the inner chunks and is over then, so that it adds to "
            "the peak only where it takes more than a chunk.",
            "",
            *table(
                [
                    "px",
                    "patches",
                    "peak beyond",
                    "Z and dL/dZ",
                    "head's pass",
                    "whole process",
                    "s per pass",
                    "all patches at once, beyond",
                ],
                rows,
            ),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire({"measure": measure, "measure_here": measure_here} if "measure_here" in sys.argv else measure)
