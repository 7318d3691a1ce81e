"""Weights after tiny runs of every kind, of another commit and of this tree: the same bits, or which run differs.

    .venv/bin/python benchmarks/same_bits.py --base COMMIT

Each run is trained three times: by the commit's package with the commit's bundles, by this package with this tree's
bundles, and by this package with the commit's bundles, as users have them in folders of their own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fire
import torch
from results_file import table, write_results

ROOT = Path(__file__).parents[1]
HIPPOCAMPUS, ULTRAMNIST = "hippocampus_segmentation_patchgrow", "ultramnist_classification_patchgd"
SEGMENTATION = {
    "patch_size": [16, 16, 16],
    "features": [4, 4, 8, 8],
    "batch_size": 2,
    "max_epochs": 5,
    "iterations_per_epoch": 2,
    "val_interval": 2,
    "spacing": [2.0, 2.0, 2.0],
    "labels": {"0": "background", "1": "head", "2": "tail"},
    "network_def#dropout": 0.1,
}
CLASSIFICATION = {
    "backbone": "small_cnn",
    "backbone_options": {"channels": [8, 8, 8, 8]},
    "latent_dim": 8,
    "patch_size": [32, 32],
    "image_size": [64, 64],
    "train_images": 14,
    "val_images": 7,
    "batch_size": 7,
    "max_epochs": 3,
    "head": "attention",
    "curriculum": "efficiency",
}


@dataclass(frozen=True)
class TinyRun:
    """A training of seconds: its bundle, what it changes, and how many processes train it."""

    name: str
    bundle: str
    settings: dict[str, Any]
    ranks: int = 1


def tiny_runs() -> list[TinyRun]:
    """Every kind of run: curricula, workers, PatchGD's two variants, two ranks."""
    runs = [
        TinyRun(
            f"segmentation, {curriculum}, {workers} workers",
            HIPPOCAMPUS,
            {**SEGMENTATION, "curriculum": curriculum, "num_workers": workers},
        )
        for curriculum in ("efficiency", "performance", "random")
        for workers in (0, 2)
    ]
    runs += [
        TinyRun(
            f"PatchGD, {variant}, {workers} workers",
            ULTRAMNIST,
            {**CLASSIFICATION, "exact": variant == "exact", "num_workers": workers},
        )
        for variant in ("exact", "stepwise")
        for workers in (0, 2)
    ]
    both = {**SEGMENTATION, "curriculum": "efficiency", "num_workers": 0}
    return [*runs, TinyRun("segmentation, efficiency, 2 gloo ranks", HIPPOCAMPUS, both, ranks=2)]


def digest(run: TinyRun, *, package: Path, bundles: Path, task: Path, output: Path) -> str:
    """Train and return the sha256 of all weights, or the last line of what went wrong."""
    configs = [bundles / run.bundle / "configs" / "train.json"]
    launcher = ["-m", "monai.bundle", "run"]
    if run.ranks > 1:
        configs.append(configs[0].with_name("multi_gpu_train.json"))
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={run.ranks}", *launcher]
    settings = {**run.settings, "output_dir": str(output / "run")}
    if run.bundle == HIPPOCAMPUS:
        settings |= {"dataset_dir": str(task), "cache_dir": str(output / "cache")}
    command = [sys.executable, "-W", "ignore", *launcher, "--config_file", repr([str(path) for path in configs])]
    for name, value in settings.items():
        command += [f"--{name}", value if isinstance(value, str) else repr(value)]
    done = subprocess.run(
        command, cwd=output, env={**os.environ, "PYTHONPATH": str(package)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
    weights = torch.load(output / "run" / "models" / "last.pt", map_location="cpu", weights_only=True)["network"]
    content = hashlib.sha256()
    for key in sorted(weights):
        content.update(key.encode() + weights[key].contiguous().numpy().tobytes())
    return content.hexdigest()[:16]


def compare(base: str, *, only: str = "") -> None:
    """Train all runs three times and write the table.

    Args:
        base: the commit to compare with.
        only: leave out runs whose names don't hold this.
    """
    commit = subprocess.check_output(["git", "rev-parse", "--short", base], cwd=ROOT, text=True).strip()
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = folder / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(before), commit], cwd=ROOT, check=True)
        try:
            task = folder / "task"
            write = f"from monai_patchgrow.data import write_phantom_task as w; w({str(task)!r}, num_cases=10)"
            subprocess.run([sys.executable, "-c", write], env={**os.environ, "PYTHONPATH": str(before)}, check=True)
            ways = {"before": (before, before), "after": (ROOT, ROOT), "old_bundles": (ROOT, before)}
            for number, run in enumerate(run for run in tiny_runs() if only in run.name):
                digests = {}
                for way, (package, bundles) in ways.items():
                    output = folder / f"{number}_{way}"
                    output.mkdir()
                    digests[way] = digest(run, package=package, bundles=bundles / "bundles", task=task, output=output)
                records.append({"run": run.name, **digests, "same": len(set(digests.values())) == 1})
                print(records[-1], flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=True)
    rows = [[record["run"], *(record[way] for way in ways), "yes" if record["same"] else "NO"] for record in records]
    lines = table(["run", f"before ({commit})", "after", "old bundles, new package", "same bits"], rows)
    write_results(
        "same_bits",
        "Weights of tiny runs before and after",
        script="benchmarks/same_bits.py",
        record={"base": commit, "runs": records},
        lines=["sha256 of all weights of last.pt, its first 16 digits.", "", *lines],
    )
    if not all(record["same"] and not record["after"].startswith("failed") for record in records):
        sys.exit("not all the same")


if __name__ == "__main__":
    fire.Fire(compare)
