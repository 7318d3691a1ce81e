"""Weights between nnU-Net v2 and bundles of its plans, on Task04: logits, labels, and training on each other's.

    bash scripts/setup.sh plot,test && . scripts/environment.sh
    .venv/bin/python benchmarks/nnunet_exchange --python NNUNET_ENVIRONMENT/bin/python

NNUNET_ENVIRONMENT has nnunetv2 2.8.1 and the same torch; where torchvision can't be imported, delete its folder
nnunetv2/training/nnUNetTrainer/primus. In batches of 2 patches, a bundle of the plan of residual encoders (ResEncM,
narrowed to 16 to 128 features) is trained through all stages, one of the default plan for an epoch from the weights of
the hippocampus bundle. Each goes to nnU-Net, is trained there by its own trainer for some iterations, and comes back;
each way both sides predict the same validation cases. What is there already is not made again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser

sys.path.insert(0, str(Path(__file__).parents[1]))

from results_file import table, write_results
from task04 import BUNDLE, ROOT, find_task04

from monai_patchgrow.cli import main as patchgrow
from monai_patchgrow.data import read_task, split_cases
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.networks.nnunet.weights import mirrored
from monai_patchgrow.tools.compare.compare import train
from monai_patchgrow.tools.plan.raw_data import usual_orientation

_FEATURES, _BATCH = {"ResEncM": [16, 32, 64, 128], "default": [32, 64, 128, 256]}, 2
_PLANNERS = {"ResEncM": "nnUNetPlannerResEncM", "default": "ExperimentPlanner"}
_TRAINING: dict[str, dict[str, Any]] = {
    "ResEncM": {"max_epochs": 30, "val_interval": 5},  # of 15 stages
    "default": {
        **{"max_epochs": 1, "val_interval": 1, "curriculum": "constant", "learning_rate": 1e-4},
        "pretrained": str(BUNDLE.relative_to(ROOT) / "models" / "model.pt"),
    },
}
_EPOCH = 20  # iterations


def measure(
    python: str,
    their_iterations: int = 20,
    num_cases: int = 8,
    presets: str = "ResEncM,default",
    work: str = "runs/nnunet_exchange",
    data: str | None = None,
) -> None:
    """Measure both plans, and write the dated results."""
    task04 = find_task04(data)
    records = {}
    for preset in presets.split(","):
        side = _Sides(python, Path(work).absolute() / preset, task04, num_cases)
        kept = side.folder / "record.json"
        if not kept.exists():
            record = _measure(side, preset, their_iterations=their_iterations)
            kept.write_text(json.dumps(record))
        records[preset] = json.loads(kept.read_text())
    versions = side.theirs("versions")
    settings = {"features": _FEATURES, "batch_size": _BATCH, "training": _TRAINING,
                "iterations_per_epoch": _EPOCH, "their_iterations": their_iterations, "cases": num_cases}  # fmt: skip
    rows = [
        [preset, record["network"], way, _differences(each["logits"]), "yes" if mirror else "no",
         ", ".join(map(str, each[f"dice{mirror}"])), f"{sum(each[f'voxels{mirror}'])} of {each[f'foreground{mirror}']}",
         _largest(each, mirror, one_window=True), _largest(each, mirror, one_window=False)]
        for preset, record in records.items() for way, each in record["ways"].items() for mirror in ("", "_mirrored")
    ]  # fmt: skip
    header = ["plan", "network here", "weights", "logits differ at most by", "mirrored", "Dice of labels 1 and 2",
              "voxels that differ, of foreground", "lead there, one window", "lead there, more windows"]  # fmt: skip
    dice = [[preset, "; ".join(f"{epoch}: {size}, {value}" for epoch, size, value in record["growth"])]
            for preset, record in records.items()]  # fmt: skip
    lines = [
        f"Versions: {json.dumps(versions)}. Settings: `{json.dumps(settings)}`, float32.",
        "",
        "Labels of both sides on the same validation cases of fold 0, on the images' own voxels. The lead is nnU-Net's "
        "probability of its label over that of the next one, where labels differ: a case of one window ties, one of "
        "more windows is weighted by Gaussians that differ by half a voxel. The default plan's weights were trained "
        "without mirroring along y, and find less, mirrored.",
        "",
        *table(header, rows),
        "",
        "Growth, epoch by epoch of validation: epoch: patch, mean Dice of fold 0.",
        "",
        *table(["plan", "growth"], dice),
    ]
    write_results("nnunet_exchange", "Weights to nnU-Net v2 and back on Task04", script="benchmarks/nnunet_exchange",
                  record={"settings": settings, "versions": versions, "plans": records}, lines=lines)  # fmt: skip


def _differences(logits: dict[str, float]) -> str:
    return f"{logits['float32']:.1e} ({logits['float64']:.1e} in float64), of up to {logits['largest']:.1f}"


def _largest(found: dict[str, Any], mirror: str, *, one_window: bool) -> str:
    """The most by which the likeliest label leads where labels differ, in cases of one window or of more."""
    pairs = zip(found[f"margin{mirror}"], found[f"windows{mirror}"], strict=True)
    leads = [margin for margin, windows in pairs if margin is not None and (windows == 1) == one_window]
    return f"{max(leads):.1e}" if leads else "none differ"


class _Sides:
    """Both sides' folders, and nnU-Net's environment."""

    def __init__(self, python: str, folder: Path, task04: str, num_cases: int) -> None:
        self.python, self.folder, self.task04 = python, folder, task04
        cases = read_task(task04).cases
        self.orientation = usual_orientation([case.images[0] for case in cases])[0]
        self.cases = split_cases(cases, fold=0)[1][:num_cases]
        self.images = folder / "images"
        self.images.mkdir(parents=True, exist_ok=True)
        for case in self.cases:
            link = self.images / f"{case.name}_0000.nii.gz"
            if not link.exists():
                link.symlink_to(case.images[0].resolve())

    def theirs(self, *words: str) -> dict[str, Any]:
        """Run nnU-Net's side in its environment; what its last line says."""
        names = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed", "nnUNet_results": "results"}
        paths = {key: str(self.folder / "nnunet" / name) for key, name in names.items()}
        environment = {**os.environ, **paths, "nnUNet_compile": "f", "PYTHONPATH": ""}
        environment |= {"nnUNet_n_proc_DA": "0"} if words[0] == "train" else {}  # its planner takes no 0
        script = str(Path(__file__).with_name("theirs.py"))
        output = subprocess.run([self.python, script, *words], env=environment, stdout=subprocess.PIPE, check=True)
        return dict(json.loads(output.stdout.decode().splitlines()[-1]))

    def compare(self, bundle: Path, model: Path) -> dict[str, Any]:
        """Logits and labels by a bundle's weights, and by a folder of nnU-Net's."""
        found: dict[str, Any] = {"logits": self.compare_logits(bundle, model)}
        for suffix, mirroring in (("", False), ("_mirrored", True)):
            ours, theirs = bundle / f"ours{suffix}", bundle / f"theirs{suffix}"
            self.theirs("predict", str(model), str(self.images), str(theirs), str(mirroring))
            axes = "[0,1,2]" if mirroring else "[]"
            subprocess.run([sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file",
                            str(bundle / "configs" / "inference.json"), "--dataset_dir", str(self.images),
                            "--output_dir", str(ours), "--mirror_axes", axes],
                           check=True, stdout=subprocess.DEVNULL)  # fmt: skip
            pairs = [(_labels(ours, case.name), _labels(theirs, case.name)) for case in self.cases]
            margins = [_margins(theirs, case.name)[one != other]
                       for case, (one, other) in zip(self.cases, pairs, strict=True)]  # fmt: skip
            found[f"dice{suffix}"] = [round(_dice(pairs, label), 6) for label in (1, 2)]
            found[f"voxels{suffix}"] = [int((one != other).sum()) for one, other in pairs]
            found[f"margin{suffix}"] = [float(margin.max()) if margin.size else None for margin in margins]
            found[f"windows{suffix}"] = [int(np.prod([1 if size <= patch else 2 for size, patch in
                                                      zip(one.shape, _patch(bundle), strict=True)]))
                                         for one, _ in pairs]  # fmt: skip
            found[f"foreground{suffix}"] = int(sum((other > 0).sum() for _, other in pairs))
        return found

    def compare_logits(self, bundle: Path, model: Path) -> dict[str, float]:
        """The largest logit, and the largest differences of both sides in float32 and in float64."""
        parser = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
        network = parser.get_parsed_content("network_def").eval()
        network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
        generator = torch.Generator().manual_seed(0)
        patches = torch.randn(2, 1, *parser["patch_size"], generator=generator)
        np.save(bundle / "patches.npy", mirrored(patches).numpy())
        self.theirs("logits", str(model), str(bundle / "patches.npy"), str(bundle / "logits.npz"))
        theirs = np.load(bundle / "logits.npz")
        found = {"largest": float(np.abs(theirs["float64"]).max())}
        for kind in (torch.float32, torch.float64):
            name = str(kind).removeprefix("torch.")
            with torch.no_grad():
                ours = mirrored(network.to(kind)(patches.to(kind)))
            found[name] = float((ours - torch.from_numpy(theirs[name])).abs().max())
        return found


def _measure(side: _Sides, preset: str, *, their_iterations: int) -> dict[str, Any]:
    narrowed, dataset = _narrowed_plan(side, preset)
    bundle, model, back = (side.folder / name for name in ("bundle", "to_nnunet", "from_nnunet"))
    if not bundle.exists():
        patchgrow(["bundle", f"--plans={narrowed}", f"--dataset={dataset}", f"--output={bundle}",
                   f"--orientation={side.orientation}"])  # fmt: skip
    if not model.exists():
        train(bundle, dataset_dir=side.task04, output_dir=bundle, cache_dir=side.folder / "cache",
              iterations_per_epoch=_EPOCH, num_workers=0, verify_data=False, resume="auto",
              **_TRAINING[preset])  # fmt: skip
        patchgrow(["to_nnunet", str(bundle), f"--output={model}"])
    ways = {"trained here, taken there": side.compare(bundle, model)}
    if not back.exists():
        checkpoint = model / "fold_0" / "checkpoint_final.pth"
        trained = side.theirs("train", str(narrowed), str(checkpoint), str(their_iterations))["folder"]
        (side.folder / "trained").symlink_to(trained)
        patchgrow(["from_nnunet", trained, f"--output={back}", f"--orientation={side.orientation}"])
    ways["trained there, taken here"] = side.compare(back, side.folder / "trained")
    history = read_history(bundle / "history.jsonl")
    growth = [(record["epoch"], "x".join(map(str, record["patch_size"])), round(record["dice"]["mean"], 4))
              for record in history if record["dice"]]  # fmt: skip
    target = json.loads((back / "configs" / "inference.json").read_text())["network_def"]["_target_"]
    sizes = ["x".join(map(str, record["patch_size"])) for record in history]
    return {"network": target.rpartition(".")[2], "growth": growth, "stages": list(dict.fromkeys(sizes)), "ways": ways}


def _narrowed_plan(side: _Sides, preset: str) -> tuple[Path, Path]:
    """nnU-Net's plan with fewer features and a smaller batch, and the data set's dataset.json."""
    found = side.folder / "prepared.json"
    if not found.exists():
        found.write_text(json.dumps(side.theirs("prepare", side.task04, _PLANNERS[preset])))
    prepared, narrowed = json.loads(found.read_text()), side.folder / "plans.json"
    plans = json.loads(Path(prepared["plans"]).read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["batch_size"] = _BATCH
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = _FEATURES[preset]
    narrowed.write_text(json.dumps(plans, indent=1))
    return narrowed, Path(prepared["dataset"])


def _patch(bundle: Path) -> list[int]:
    return list(json.loads((bundle / "configs" / "inference.json").read_text())["patch_size"])


def _labels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(folder / f"{name}.nii.gz").dataobj)


def _margins(folder: Path, name: str) -> np.ndarray:
    """By how much the likeliest label leads, (x, y, z), in nnU-Net's probabilities."""
    probabilities = np.sort(np.load(folder / f"{name}.npz")["probabilities"], axis=0)
    return (probabilities[-1] - probabilities[-2]).transpose(2, 1, 0)


def _dice(pairs: list[tuple[np.ndarray, np.ndarray]], label: int) -> float:
    """Of a label over all maps of both sides."""
    both = sum(((one == label) & (other == label)).sum() for one, other in pairs)
    return float(2 * both / sum((one == label).sum() + (other == label).sum() for one, other in pairs))


if __name__ == "__main__":
    fire.Fire(measure)
