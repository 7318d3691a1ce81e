"""Measures what a patch of 256 px of a large tiled TIFF costs, by every tile source and other readers, in one thread.

    bash scripts/setup.sh tiff,zarr,slides && . scripts/environment.sh && .venv/bin/python benchmarks/tile_reading.py

The image is a phantom slide of 8192 px, deflate-compressed in tiles of 256 px. Writes a dated JSON and Markdown to
benchmarks/results.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fire
import numpy as np
import openslide
import tifffile
import torch
import zarr
from monai.data import WSIReader
from results_file import table, write_results

from monai_patchgrow.data.synthetic.phantom_slides import GLASS, PhantomSlide
from monai_patchgrow.data.tiles.array import MemmapTiles, ZarrTiles
from monai_patchgrow.data.tiles.cells import Cell
from monai_patchgrow.data.tiles.slide import SlideTiles
from monai_patchgrow.data.tiles.source import TensorTiles
from monai_patchgrow.data.tiles.tiff import TiffTiles
from monai_patchgrow.data.tiles.write import write_tiled_tiff
from monai_patchgrow.schedules.patch_grid import PatchGrid

PATCH = 256
CHUNK = 16

Way = Callable[[Sequence[Cell]], Any]


def measure(size: int = 8192, patches: int = 128, rounds: int = 9) -> None:
    """Read the same patches of tissue by every way in turn, `rounds` times; medians count."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files, image = write_files(Path(folder), size)
        ways = make_ways(files, image)
        aligned = choose_cells(image, patches)
        shifted = [tuple(slice(p.start - PATCH // 2, p.stop - PATCH // 2) for p in cell) for cell in aligned]
        plans = {name: (way, aligned) for name, way in ways.items()}
        plans["TiffTiles, patches half a tile off the tiles"] = ways["TiffTiles"], shifted
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
        for way, cells in plans.values():
            way(cells[:CHUNK])
        for _ in range(rounds):
            for name, (way, cells) in plans.items():
                times[name].append(time_way(way, cells))
        whole = time_whole_level(files["tif"], image, aligned[0])
        ratio = files["tif"].stat().st_size / image.numel()
    times["MONAI's WSIReader, backend tifffile (decodes the whole level)"] = [whole]
    results = {name: [statistics.median(kind) for kind in zip(*some, strict=True)] for name, some in times.items()}
    ours = results["TiffTiles"][1]
    rows = [[name, f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / ours:.1f}"] for name, (wall, cpu) in results.items()]
    print(
        write_results(
            "tile_reading",
            "Milliseconds per patch of 256 px",
            script="benchmarks/tile_reading.py",
            record={"size": size, "patches": patches, "rounds": rounds, "ratio": ratio, "wall_and_cpu_ms": times},
            lines=[
                f"A phantom slide of {size} x {size} RGB pixels, tiles of {PATCH}, deflate (level 6), compressed to "
                f"{ratio:.0%}. {patches} patches of tissue in random order, {CHUNK} per read, one thread, warm file "
                f"cache, median of {rounds} rounds in turn (the last line: one patch). Processor time is what other "
                "work on the machine doesn't change.",
                "",
                *table(["reader", "ms per patch", "CPU ms per patch", "CPU, times TiffTiles"], rows),
            ],
        ).read_text()
    )


def write_files(folder: Path, size: int) -> tuple[dict[str, Path], torch.Tensor]:
    """The slide as .tif, .npy and .zarr, and as a tensor."""
    slide = PhantomSlide(size)
    files = {suffix: folder / f"slide.{suffix}" for suffix in ("tif", "npy", "zarr")}
    write_tiled_tiff(files["tif"], slide, tile_size=PATCH, level=6)
    image = slide.read([(slice(0, size), slice(0, size))])[0]
    np.save(files["npy"], image.numpy())
    array = zarr.create_array(files["zarr"], shape=image.shape, chunks=(3, PATCH, PATCH), dtype="uint8")
    array[:] = image.numpy()
    return files, image


def choose_cells(image: torch.Tensor, count: int) -> list[Cell]:
    """Cells without glass, in random order: what glass compresses to costs less."""
    grid = PatchGrid(image.shape[1:], (PATCH, PATCH))
    inner = [cell for cell in map(grid.slices, range(grid.num_cells)) if all(part.start for part in cell)]
    tissue = [cell for cell in inner if not (image[(slice(None), *cell)] == GLASS).any()]
    return random.Random(0).sample(tissue, count)


def make_ways(files: dict[str, Path], image: torch.Tensor) -> dict[str, Way]:
    """What is timed, by name: readers of a list of cells."""
    page = tifffile.TiffFile(files["tif"]).pages[0]
    tiles_per_row = -(-image.shape[2] // PATCH)

    def by_segment(cells: Sequence[Cell]) -> Any:
        found = []
        for rows, columns in cells:
            index = rows.start // PATCH * tiles_per_row + columns.start // PATCH
            handle = page.parent.filehandle
            handle.seek(page.dataoffsets[index])
            found.append(page.decode(handle.read(page.databytecounts[index]), index)[0][0])
        return np.stack(found)

    stored = zarr.open(tifffile.imread(files["tif"], aszarr=True), mode="r")
    slide = openslide.OpenSlide(files["tif"])

    def by_openslide(cells: Sequence[Cell]) -> Any:
        return [slide.read_region((c.start, r.start), 0, (PATCH, PATCH)) for r, c in cells]

    return {
        "TiffTiles": TiffTiles(files["tif"]).read,
        "tifffile's segment decode alone": by_segment,
        "tifffile through zarr": lambda cells: [stored[rows, columns] for rows, columns in cells],
        "openslide's read_region alone": by_openslide,
        "SlideTiles (openslide)": SlideTiles(files["tif"]).read,
        "ZarrTiles, the same chunks": ZarrTiles(files["zarr"]).read,
        "MemmapTiles, uncompressed": MemmapTiles(files["npy"]).read,
        "TensorTiles, in memory": TensorTiles(image).read,
    }


def time_way(way: Way, cells: Sequence[Cell]) -> tuple[float, float]:
    """Milliseconds per patch: by the clock, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(cells), CHUNK):
        way(cells[first : first + CHUNK])
    return (time.perf_counter() - wall) / len(cells) * 1e3, (time.process_time() - cpu) / len(cells) * 1e3


def time_whole_level(path: Path, image: torch.Tensor, cell: Cell) -> tuple[float, float]:
    """One patch by MONAI's reader, as `time_way`."""
    reader = WSIReader("tifffile")
    rows, columns = cell
    found = []

    def read(_: Sequence[Cell]) -> None:
        place = {"location": (rows.start, columns.start), "size": (PATCH, PATCH), "level": 0}
        found.append(reader.get_data(reader.read(path), **place)[0])

    times = time_way(read, [cell])
    if not np.array_equal(found[0], image[(slice(None), *cell)].numpy()):
        raise RuntimeError("MONAI's reader gives another patch")
    return times


if __name__ == "__main__":
    fire.Fire(measure)
