"""Whether bundles of another commit, as users have them in folders of their own, run with this package as with theirs.

    .venv/bin/python benchmarks/old_bundles.py --base COMMIT

Every program of three kinds of bundles (training, evaluation, inference, two processes) runs twice from the commit's
bundles, by the commit's package and by this one; compared are the bits of what it writes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from results_file import table, write_results

ROOT = Path(__file__).parents[1]
HIPPOCAMPUS, ULTRAMNIST = "hippocampus_segmentation_patchgrow", "ultramnist_classification_patchgd"
PANDA, VOLUME = "panda_classification_patchgd", "volume_classification_patchgd"
NETWORK = {"backbone": "small_cnn", "backbone_options": {"channels": [8, 8, 8, 8]}, "latent_dim": 8}
SMALL: dict[str, dict[str, Any]] = {
    HIPPOCAMPUS: {
        "patch_size": [16, 16, 16],
        "features": [4, 4, 8, 8],
        "labels": {"0": "none", "1": "head", "2": "tail"},
    },
    ULTRAMNIST: {**NETWORK, "patch_size": [32, 32], "image_size": [64, 64], "head": "attention"},
    PANDA: {**NETWORK, "patch_size": [32, 32], "level": 0},
    VOLUME: {**NETWORK, "patch_size": [16, 16, 16]},
}
TRAINING: dict[str, dict[str, Any]] = {
    HIPPOCAMPUS: {"batch_size": 2, "max_epochs": 3, "iterations_per_epoch": 2, "val_interval": 3, "num_workers": 0},
    ULTRAMNIST: {"train_images": 14, "val_images": 7, "batch_size": 7, "max_epochs": 2, "num_workers": 0},
    PANDA: {"batch_size": 4, "max_epochs": 2, "num_workers": 0},
    VOLUME: {"batch_size": 3, "max_epochs": 2, "num_workers": 0},
}
MAKE_DATA = """
import sys
from pathlib import Path
import nibabel as nib, numpy as np
from monai_patchgrow.data import write_phantom_slides, write_phantom_task
folder = Path(sys.argv[1])
write_phantom_task(folder / "task", num_cases=10)
write_phantom_slides(folder / "slides", num_slides=12, size=96)
(folder / "volumes/images").mkdir(parents=True)
for number in range(10):
    voxels = np.random.default_rng(number).normal(100 + 50 * (number % 2), 10, (20, 22, 18)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"volumes/images/v{number}.nii.gz")
rows = [f"v{number},{number % 2}" for number in range(10)]
(folder / "volumes/labels.csv").write_text("\\n".join(["image_id,label", *rows]))
"""


@dataclass(frozen=True)
class Program:
    """A program of a bundle: its configs, what it changes, the files whose bits count, and the processes it takes."""

    bundle: str
    configs: tuple[str, ...]
    settings: dict[str, Any]
    written: str
    ranks: int = 1

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.bundle.split('_')[0]}, {' + '.join(self.configs)}"


def programs(data: Path, weights: Path) -> Iterator[Program]:
    """All programs, each training before what needs its weights."""
    folders = {HIPPOCAMPUS: data / "task", PANDA: data / "slides", VOLUME: data / "volumes"}
    images = {HIPPOCAMPUS: "imagesTr", PANDA: "train_images", VOLUME: "images"}
    for bundle, small in SMALL.items():
        source = {"dataset_dir": str(folders[bundle])} if bundle in folders else {}
        generated = {"val_images": 7} if bundle == ULTRAMNIST else {}
        trained = {"ckpt_path": str(weights / bundle / "models" / "model.pt")}
        yield Program(bundle, ("train.json",), {**small, **TRAINING[bundle], **source}, "models/last.pt")
        yield Program(bundle, ("evaluate.json",), {**small, **source, **trained, **generated}, "metrics.csv")
        if bundle in folders:
            few = {"dataset_dir": str(folders[bundle] / images[bundle])}
            yield Program(bundle, ("inference.json",), {**small, **few, **trained}, "*.*")
    small, source = SMALL[HIPPOCAMPUS], {"dataset_dir": str(folders[HIPPOCAMPUS])}
    both = ("train.json", "multi_gpu_train.json")
    yield Program(HIPPOCAMPUS, both, {**small, **TRAINING[HIPPOCAMPUS], **source}, "models/last.pt", ranks=2)
    trained = {"ckpt_path": str(weights / HIPPOCAMPUS / "models" / "model.pt")}
    both = ("evaluate.json", "multi_gpu_evaluate.json")
    yield Program(HIPPOCAMPUS, both, {**small, **source, **trained}, "metrics.csv", ranks=2)


def run(program: Program, *, package: Path, bundles: Path, output: Path) -> str:
    """Run a program; return the hash of what it wrote, or the last line of what went wrong."""
    launcher = ["-m", "monai.bundle", "run"]
    if program.ranks > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={program.ranks}", *launcher]
    configs = [str(bundles / program.bundle / "configs" / name) for name in program.configs]
    settings = {**program.settings, "output_dir": str(output)}
    if program.bundle in (HIPPOCAMPUS, VOLUME) and "evaluate.json" not in program.configs:
        settings |= (
            {} if program.bundle == HIPPOCAMPUS and "inference.json" in configs[0] else {"cache_dir": f"{output}_c"}
        )
    command = [sys.executable, "-W", "ignore", *launcher, "--config_file", repr(configs)]
    for name, value in settings.items():
        command += [f"--{name}", value if isinstance(value, str) else repr(value)]
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=bundles, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1][:200]}"
    return digest(sorted(path for path in output.glob(program.written) if path.is_file()))


def digest(paths: list[Path]) -> str:
    """A hash of weights, label maps or text, whatever paths they hold."""
    content = hashlib.sha256()
    for path in paths:
        if path.suffix == ".pt":
            weights = torch.load(path, map_location="cpu", weights_only=True)["network"]
            content.update(b"".join(weights[key].contiguous().numpy().tobytes() for key in sorted(weights)))
        elif path.name.endswith(".nii.gz"):
            content.update(np.asarray(nib.load(path).dataobj).tobytes())
        else:
            content.update(path.read_bytes())
    return content.hexdigest()[:16] if paths else "nothing written"


def compare(base: str, *, only: str = "") -> None:
    """Run all programs twice and write the table.

    Args:
        base: the commit whose bundles run.
        only: leave out programs whose names don't hold this.
    """
    commit = subprocess.check_output(["git", "rev-parse", "--short", base], cwd=ROOT, text=True).strip()
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = folder / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(before), commit], cwd=ROOT, check=True)
        try:
            environment = {**os.environ, "PYTHONPATH": str(before)}
            subprocess.run([sys.executable, "-c", MAKE_DATA, str(folder)], env=environment, check=True)
            weights = folder / "weights"
            for number, program in enumerate(programs(folder, weights)):
                if only not in program.name:
                    continue
                found = {}
                for way, package in {"before": before, "after": ROOT}.items():
                    output = folder / f"{number}_{way}"
                    found[way] = run(program, package=package, bundles=before / "bundles", output=output)
                    if program.configs == ("train.json",) and way == "before":
                        weights.mkdir(exist_ok=True)
                        (weights / program.bundle).symlink_to(output)
                records.append({"program": program.name, **found, "same": found["before"] == found["after"]})
                print(records[-1], flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=ROOT, check=True)
    rows = [[one["program"], one["before"], one["after"], "yes" if one["same"] else "NO"] for one in records]
    lines = table(["program", f"package of {commit}", "this package", "same bits"], rows)
    write_results(
        "old_bundles",
        "Bundles of another commit with this package",
        script="benchmarks/old_bundles.py",
        record={"base": commit, "programs": records},
        lines=[f"Bundles of {commit}, run from a copy: a hash of what each program writes.", "", *lines],
    )
    if not all(one["same"] and not one["after"].startswith("failed") for one in records):
        sys.exit("not all the same")


if __name__ == "__main__":
    fire.Fire(compare)
