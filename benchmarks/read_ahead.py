"""Measures a prediction whose network is waited for, as a GPU would be: in turn, and read ahead and written behind.

    .venv/bin/python benchmarks/read_ahead.py [--cases 8] [--seconds 2]

Phantoms of noise, compressed NIfTI of 1 x 1 x 2 mm, are predicted by the spleen bundle's preprocessing, which resamples
them, and its postprocessing, which resamples the logits to their voxels. The network sleeps: it takes so many seconds a
case and none of a core. Both ways take turns (A B A B) after one case that isn't counted; their label maps must be the
same bytes. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import hashlib
import logging
import runpy
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser
from results_file import table, write_results

BUNDLE = Path(__file__).parents[1] / "bundles" / "spleen_segmentation_patchgrow"
WAYS = {"in turn": 0, "one ahead, one behind": 1}


class Waited:
    """An inferer that is waited for; label 1 where the image is bright."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, images: torch.Tensor, network: Any) -> torch.Tensor:
        """Return logits (1, 2, *spatial) of images (1, 1, *spatial)."""
        began = time.perf_counter()
        logits = torch.cat([-images, images], 1)
        time.sleep(max(0.0, self.seconds - (time.perf_counter() - began)))
        return logits


def measure(
    cases: int = 8, seconds: float = 2.0, rounds: int = 3, shape: tuple[int, ...] = (96, 96, 48), threads: int = 1
) -> None:
    """Predict so many cases in each way, `rounds` times, and write what it took.

    Args:
        cases: phantoms.
        seconds: of the network, a case.
        rounds: of each way, in turn.
        shape: of a phantom, voxels.
        threads: of torch.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("predict").setLevel(logging.WARNING)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(Path(folder) / "images", cases, shape)
        predict(images[:1], Path(folder) / "warm", seconds, num_workers=0)
        runs = []
        for number in range(rounds):
            for way, num_workers in WAYS.items():
                output = Path(folder) / f"{number}_{num_workers}"
                began = time.perf_counter()
                predict(images, output, seconds, num_workers=num_workers)
                runs.append({"way": way, "seconds": time.perf_counter() - began, "label_maps": digest(output)})
                print(runs[-1], flush=True)
    assert len({run["label_maps"] for run in runs}) == 1, "the label maps differ"
    report(runs, cases=cases, seconds=seconds, shape=shape, threads=threads)


def make_images(folder: Path, cases: int, shape: tuple[int, ...]) -> list[str]:
    """Phantoms of noise; their paths."""
    folder.mkdir()
    paths = [folder / f"case_{number}.nii.gz" for number in range(cases)]
    for number, path in enumerate(paths):
        voxels = np.random.default_rng(number).normal(50, 300, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), path)
    return list(map(str, paths))


def predict(images: list[str], output: Path, seconds: float, *, num_workers: int) -> None:
    """Predict as the bundle does, by an inferer that is waited for."""
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    config.update({"bundle_root": str(BUNDLE), "dataset_dir": images})
    runpy.run_path(str(BUNDLE / "scripts" / "predict.py"))["predict"](
        config.get_parsed_content("images"),
        network=torch.nn.Identity(),
        inferer=Waited(seconds),
        preprocessing=config.get_parsed_content("preprocessing"),
        postprocessing=config.get_parsed_content("postprocessing"),
        output_dir=output,
        device="cpu",
        num_workers=num_workers,
    )


def digest(folder: Path) -> str:
    """SHA-256 of a folder's files."""
    content = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()


def report(runs: list[dict[str, Any]], **settings: Any) -> None:
    """Write one line per way."""
    medians = {way: statistics.median(run["seconds"] for run in runs if run["way"] == way) for way in WAYS}
    each = {way: ", ".join(f"{run['seconds']:.1f}" for run in runs if run["way"] == way) for way in WAYS}
    first = medians["in turn"]
    rows = [[way, each[way], f"{one:.1f}", f"{one / first:.2f}"] for way, one in medians.items()]
    network = settings["cases"] * settings["seconds"]
    page = write_results(
        "read_ahead",
        "Prediction with cases read ahead and label maps written behind",
        script="benchmarks/read_ahead.py",
        record={**settings, "runs": runs},
        lines=[
            f"{settings['cases']} cases of {' x '.join(map(str, settings['shape']))} voxels; the network is waited for "
            f"{settings['seconds']:g} s a case, {network:g} s in all, on {settings['threads']} thread of torch. The "
            "label maps are the same bytes.",
            "",
            *table(["way", "seconds of each run", "median", "of the time in turn"], rows),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire(measure)
