"""Holds a pass of PatchGD over large slides against its floor: what decoding and encoding alone take.

    bash scripts/setup.sh tiff && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_profile.py

Encoder, head, patches and chunks are those of patchgd_memory.py. A pass fills every cell and encodes one chunk of
eight with gradient. The floor does the same work with nothing around it: it decodes each patch that the pass reads in
one thread; it encodes as many patches, all of them the same ones in memory, without gradient and with; it runs the head
once on such a Z, and takes one step. Pass and floor take turns. The floor by the clock is that of encoding, head and
step, and half of the processor's seconds of decoding: both cores busy all the time. Slides are kept in `folder`, and a
size whose rounds are there isn't measured again. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import fire
import numpy as np
import torch
from patchgd_memory import AT_A_TIME, CHANNELS, CHUNKS, CLASSES, LATENT_DIM, PATCH, fill_and_step, make_slide
from results_file import median_and_range, table, write_results
from torch import nn

from monai_patchgrow.data.tiles.tiff import TiffTiles
from monai_patchgrow.engines.patchgd.chunks import Chunk
from monai_patchgrow.networks import classification_head
from monai_patchgrow.networks.encoders.cnn import SmallCNN
from monai_patchgrow.schedules.patch_grid import PatchGrid

CORES = 2
DECODE, FILL, STEP, HEAD = "decode", "encode without gradient", "encode with gradient, and back", "head and step"

Seconds = tuple[float, float]  # by the clock, and of the processor


def measure(
    sizes: Sequence[int] = (8192, 32768), rounds: Sequence[int] = (5, 1), folder: str = "runs/patchgd_profile"
) -> None:
    """Measure every size, in so many rounds each, and write what pass and floor took."""
    torch.set_num_threads(CORES)
    results = {}
    for size, count in zip(sizes, rounds, strict=True):
        kept = Path(folder) / f"{size}.json"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            slide = Path(folder) / f"slide_{size}.tif"
            if not slide.exists():
                make_slide(slide, size)
            kept.write_text(json.dumps([time_round(slide, number) for number in range(count)]))
        results[size] = json.loads(kept.read_text())
    report(results)


def time_round(path: Path, number: int) -> dict[str, Seconds]:
    """One pass and the parts of its floor, in turn."""
    torch.manual_seed(number)
    source = TiffTiles(path)
    grid = PatchGrid(source.shape[1:], PATCH)
    encoder = SmallCNN(source.shape[0], LATENT_DIM, channels=CHANNELS)
    head = classification_head("attention", latent_dim=LATENT_DIM, num_outputs=CLASSES)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    chunks = [part.tolist() for part in np.array_split(torch.randperm(grid.num_cells), CHUNKS)]
    fill, inner = _parts([cell for chunk in chunks for cell in chunk]), _parts(chunks[0])
    some = torch.rand(AT_A_TIME, source.shape[0], *PATCH)
    ways: dict[str, Callable[[], None]] = {
        "pass": partial(fill_and_step, encoder, head, optimizer, [source], chunks, at_a_time=AT_A_TIME),
        DECODE: partial(decode, source, grid, [*fill, *inner]),
        FILL: partial(encode, encoder, some, len(fill)),
        STEP: partial(encode_back, encoder, some, len(inner)),
        HEAD: partial(classify, head, optimizer, grid),
    }
    encode_back(encoder, some, 1)  # starts the threads
    found = {name: _time(way) for name, way in ways.items()}
    print(path.name, number, found, flush=True)
    return found


def decode(source: TiffTiles, grid: PatchGrid, parts: Sequence[Chunk]) -> None:
    """Read the patches of every part, as a pass does."""
    for part in parts:
        source.read([grid.slices(cell) for cell in part])


@torch.no_grad()
def encode(encoder: nn.Module, patches: torch.Tensor, count: int) -> None:
    """Encode the same patches `count` times."""
    for _ in range(count):
        encoder(patches)


def encode_back(encoder: nn.Module, patches: torch.Tensor, count: int) -> None:
    """The same with gradient, and back."""
    for _ in range(count):
        encoder(patches).sum().backward()


def classify(head: nn.Module, optimizer: torch.optim.Optimizer, grid: PatchGrid) -> None:
    """The head's pass on a Z of this grid, and a step."""
    latent = torch.rand(1, LATENT_DIM, *grid.shape, requires_grad=True)
    nn.functional.cross_entropy(head(latent), torch.tensor([1])).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)


def _parts(cells: Sequence[int]) -> list[Chunk]:
    return [tuple(cells[first : first + AT_A_TIME]) for first in range(0, len(cells), AT_A_TIME)]


def _time(way: Callable[[], None]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def report(results: Mapping[int, Sequence[Mapping[str, Seconds]]]) -> None:
    """Write medians, and the ratios of each round."""
    rows = []
    for size, rounds in results.items():
        medians = {
            name: [statistics.median(kind) for kind in zip(*(each[name] for each in rounds), strict=True)]
            for name in rounds[0]
        }
        ratios = [_ratios(each) for each in rounds]
        by_clock, of_cpu = ([pair[kind] for pair in ratios] for kind in (0, 1))
        rows.append(
            [
                size,
                len(rounds),
                f"{medians['pass'][0]:.1f}",
                f"{medians['pass'][1]:.1f}",
                *(f"{medians[name][1]:.2f}" for name in (DECODE, FILL, STEP, HEAD)),
                median_and_range(by_clock),
                median_and_range(of_cpu),
            ]
        )
    parts = [f"{name}, processor's s" for name in (DECODE, FILL, STEP, HEAD)]
    header = ["px", "rounds", "pass, s", "processor's s", *parts]
    page = write_results(
        "patchgd_profile",
        "A pass of PatchGD beside its floor",
        script="benchmarks/patchgd_profile.py",
        record={"patch": PATCH, "chunk_size": AT_A_TIME, "channels": CHANNELS, "wall_and_cpu_s": results},
        lines=[
            f"A slide of RGB pixels in a tiled TIFF (deflate), patches of {PATCH[0]} px, {AT_A_TIME} at a time; "
            f"SmallCNN with channels {CHANNELS}, attention pooling, batch of one, float32, {CORES} threads. Every cell "
            f"is filled, one chunk of {CHUNKS} encoded with gradient. Medians; of the ratios of each round the range.",
            "",
            *table([*header, "pass / floor, by the clock", "pass / floor, processor"], rows),
        ],
    )
    print(page.read_text())


def _ratios(found: Mapping[str, Seconds]) -> Seconds:
    encoding = sum(found[name][0] for name in (FILL, STEP, HEAD))
    by_clock = found["pass"][0] / (encoding + found[DECODE][1] / CORES)
    return by_clock, found["pass"][1] / sum(found[name][1] for name in (DECODE, FILL, STEP, HEAD))


if __name__ == "__main__":
    fire.Fire(measure)
