"""`patchgrow new` on three real data sets and on phantoms of the Decathlon's ten tasks: plan, training, prediction.

    bash scripts/setup.sh plot,test && . scripts/environment.sh
    .venv/bin/python benchmarks/new_bundles.py --python NNUNET_ENVIRONMENT/bin/python [--clone]

NNUNET_ENVIRONMENT has nnunetv2 2.8.1. Of each data set `patchgrow new` makes a bundle, whose plan is compared figure by
figure with that of nnU-Net's own commands (nnUNetv2_convert_MSD_dataset, nnUNetv2_plan_and_preprocess --no_pp). The
bundle trains two stages with a narrow network, is evaluated, and predicts a case. --clone times a new user, too
(`new_user.py`). What is there already in --work is not done again; --only takes the data sets whose names so begin.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
from new_user import lines_about, time_new_user
from results_file import table, write_results

from monai_patchgrow.data import read_task, split_cases, write_phantom_like
from monai_patchgrow.handlers.run_log import read_history

ROOT = Path(__file__).parents[1]
REAL = {"Task04_Hippocampus": (), "BONBID_HIE": (), "ACDC": ("patient076",)}
"""Real data sets, and the starts of names that are left out: patient076's voxels are patient074's, which is refused."""

PHANTOM_CASES, MOST_VOXELS, SPREAD = 5, 1.5e6, 0.1
CT_INTENSITIES = {"modality": "CT", "mean": 60.0, "std": 40.0}
NARROW = [4, 4, 8, 8, 16, 16, 16, 16]  # features of the network's levels, of which there are up to 8
TRAINING = {"batch_size": 2, "max_epochs": 2, "iterations_per_epoch": 2, "val_interval": 2, "num_workers": 0}
_MISSING = object()
NAME_OF_DATA = "dataset_name"  # the one entry of a plan that is a name which the user gives


def measure(
    python: str,
    *,
    work: str = "runs/new_bundles",
    data: str | None = None,
    reference: str | None = None,
    only: str = "",
    clone: bool = False,
) -> None:
    """Do what is not done yet, and write the dated results.

    Args:
        python: interpreter of nnU-Net's environment.
        work: folder that keeps everything.
        data: folder of the real data sets; default: PATCHGROW_DATA.
        reference: msd_tasks.json, with the ten tasks' spacings and shapes.
        only: how the names of the data sets begin.
        clone: time a new user, too.
    """
    folder, python = Path(work).absolute(), os.path.abspath(python)
    shared = ROOT.parent / "shared"
    root = Path(data or os.environ.get("PATCHGROW_DATA", shared / "data"))
    tasks = json.loads(Path(reference or shared / "reference" / "msd_tasks.json").read_text())["tasks"]
    records = {}
    for name in (*REAL, *(f"phantom of {task}" for task in tasks)):
        kept = folder / name.replace(" ", "_") / "record.json"
        if name.startswith(only) and not kept.exists():
            shutil.rmtree(kept.parent, ignore_errors=True)
            kept.parent.mkdir(parents=True)
            record = _measure(kept.parent, *_make_data(name, kept.parent, root, tasks), python)
            kept.write_text(json.dumps(record, indent=1))
            print(f"{name}: {json.dumps(record)}", flush=True)
        if kept.exists():
            records[name] = json.loads(kept.read_text())
    timed = folder / "new_user.json"
    if clone and not timed.exists():
        record = time_new_user(root / "BONBID_HIE", python, page=folder / "data.html")
        timed.write_text(json.dumps(record, indent=1))
    _write(records, json.loads(timed.read_text()) if timed.exists() else None)


def _make_data(name: str, folder: Path, root: Path, tasks: Mapping[str, Any]) -> tuple[Path, float]:
    """Link or draw a data set in the Decathlon's layout; tell by how much a phantom is coarser than its task."""
    task = name.rpartition(" ")[2]
    data = folder / f"Task001_{task.replace('_', '')}"  # nnU-Net's converter takes no other name
    if name in REAL:
        data.mkdir()
        content = json.loads((root / name / "dataset.json").read_text())
        taken = [pair for pair in content["training"] if not Path(pair["image"]).name.startswith(REAL[name] or "/")]
        for file in (file for pair in taken for file in pair.values()):
            (data / file).parent.mkdir(exist_ok=True)
            (data / file).symlink_to((root / name / file).resolve())
        content |= {"training": taken, "numTraining": len(taken), "test": []}
        (data / "dataset.json").write_text(json.dumps(content))
        return data, 1.0
    facts = tasks[task]
    shape, spacing = facts["median_shape"][::-1], facts["spacing_mm"][::-1]
    scale = max(1.0, (shape[0] * shape[1] * shape[2] / MOST_VOXELS) ** (1 / 3))
    labels = {value: label for label, value in facts["labels"].items()}
    kind = CT_INTENSITIES if facts["channels"] == ["CT"] else {"masked": task == "Task01_BrainTumour"}
    write_phantom_like(
        data,
        num_cases=PHANTOM_CASES,
        channels=facts["channels"],
        labels=labels,
        shape=[round(size / scale) for size in shape],
        spacing=[mm * scale for mm in spacing],
        spacing_spread=SPREAD,
        **kind,
    )
    return data, scale


def _measure(folder: Path, data: Path, scale: float, python: str) -> dict[str, Any]:
    """Make, compare, train, evaluate and predict."""
    bundle, configs = folder / "bundle_segmentation", folder / "bundle_segmentation" / "configs"
    run = _Runs(folder)
    new = ["-m", "monai_patchgrow.cli", "new", str(data), "-o", str(bundle), "--python", python]
    run("new", sys.executable, *new, "--cache_dir", str(folder / "cache"), "--num_workers", "1")
    if not run.ended_well("new"):
        return {"runs": run.found}
    figures = dict(_figures(json.loads((bundle / "docs" / "nnUNetPlans.json").read_text())))
    theirs = dict(_figures(_plan_by_hand(run, data, python)))
    names = sorted({*figures, *theirs} - {NAME_OF_DATA})
    differ = [name for name in names if figures.get(name, _MISSING) != theirs.get(name, _MISSING)]
    config = json.loads((configs / "train.json").read_text())
    narrow = {"dataset_dir": str(data), "features": NARROW[: len(config["features"])]}
    trained = {"ckpt_path": str(folder / "trained" / "models" / "model.pt"), "output_dir": str(folder / "evaluated")}
    outputs = {"output_dir": str(folder / "trained"), "cache_dir": str(folder / "preprocessed")}
    run.bundle("train", configs, {**narrow, **TRAINING, **outputs})
    run.bundle("evaluate", configs, {**narrow, **trained, "num_workers": 0})
    cases = read_task(data).cases
    case = split_cases(cases, fold=0)[1][0].images[0]
    (folder / "image").mkdir()
    (folder / "image" / case.name).symlink_to(case.resolve())
    predicted = {**narrow, **trained, "dataset_dir": str(folder / "image"), "output_dir": str(folder / "labels")}
    run.bundle("inference", configs, {**predicted, "num_workers": 0})
    history = read_history(folder / "trained" / "history.jsonl") if run.ended_well("train") else []
    record = {
        "cases": len(cases),
        "coarser": round(scale, 3),
        "figures": len(names),
        "differ": differ,
        "patch_size": config["patch_size"],
        "planned_batch_size": config["batch_size"],
        "trained_on": [one["patch_size"] for one in history],
        "label_map": _shape_of(folder / "labels") == list(nib.load(case).shape[:3]),
        "runs": run.found,
    }
    for made in ("nnunet", "preprocessed", "labels"):
        shutil.rmtree(folder / made, ignore_errors=True)
    return record


class _Runs:
    """Runs commands one after the other, each with a log, and keeps seconds and exit codes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str, *command: str, **environment: str) -> None:
        began = time.monotonic()
        with (self.folder / f"{name}.log").open("w") as log:
            done = subprocess.run(
                command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT, check=False
            )
        self.found[name] = {"seconds": round(time.monotonic() - began, 1), "exit_code": done.returncode}

    def bundle(self, name: str, configs: Path, settings: Mapping[str, Any]) -> None:
        """Run a config of a bundle as MONAI's command line does."""
        words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        config = ["--config_file", str(configs / f"{name}.json")]
        self(name, sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *config, *words)

    def ended_well(self, name: str) -> bool:
        return self.found[name]["exit_code"] == 0


def _plan_by_hand(run: _Runs, data: Path, python: str) -> dict[str, Any]:
    """Convert and plan by nnU-Net's own commands, in a folder of its own."""
    commands, folder = Path(python).parent, run.folder / "nnunet"
    paths = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    for path in paths.values():
        Path(path).mkdir(parents=True)
    (data / "imagesTs").mkdir(exist_ok=True)  # the converter asks for it
    run("convert", str(commands / "nnUNetv2_convert_MSD_dataset"), "-i", str(data), "-np", "1", **paths)
    run("plan by hand", str(commands / "nnUNetv2_plan_and_preprocess"), "-d", "1", "-npfp", "1", "--no_pp", **paths)
    (plans,) = (folder / "preprocessed").glob("*/nnUNetPlans.json")
    shutil.copyfile(plans, run.folder / "plan_by_hand.json")
    return dict(json.loads(plans.read_text()))


def _figures(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each number, text and empty container of a plan, by its place."""
    if isinstance(value, dict | list) and value:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _figures(part, f"{name}#{key}".removeprefix("#"))
    else:
        yield name, value


def _shape_of(folder: Path) -> list[int] | None:
    """Of the one label map in a folder."""
    maps = sorted(folder.glob("*.nii.gz"))
    return list(nib.load(maps[0]).shape) if len(maps) == 1 else None


def _write(records: Mapping[str, Any], new_user: Mapping[str, Any] | None) -> None:
    """The dated results of what is done."""
    header = ["data", "cases", "coarser by", "figures of the plan", "that differ", "patch", "trained on",
              "seconds of new", "train", "evaluate", "predict"]  # fmt: skip
    rows = [
        [name, one["cases"], one["coarser"], one["figures"], len(one["differ"]), _size(one["patch_size"]),
         ", ".join(map(_size, one["trained_on"])), one["runs"]["new"]["seconds"],
         *(_how(one["runs"], part) for part in ("train", "evaluate")),
         _how(one["runs"], "inference") if one["label_map"] else "no label map"]
        for name, one in records.items() if "figures" in one
    ]  # fmt: skip
    failed = [f"`patchgrow new` failed for {name}." for name, one in records.items() if "figures" not in one]
    lines = [
        f"The plan in the bundle beside that of nnU-Net's own commands, each number and text of it but {NAME_OF_DATA}. "
        f"Then a training of two stages, `{json.dumps(TRAINING)}` with {NARROW[0]} to {NARROW[-1]} features, "
        "evaluation on the validation fold and prediction of one image: whether each ended well, and its seconds.",
        "",
        f"Phantoms ({PHANTOM_CASES} cases) have the median shape and spacing of their task in the Decathlon, each "
        f"spacing at most {SPREAD:.0%} off; a shape of more than {MOST_VOXELS / 1e6:g} million voxels is made coarser "
        "by one factor on all axes, shape down and spacing up, so that its plan is not the real task's. Of ACDC "
        "patient076 is left out, whose voxels are patient074's.",
        "",
        *table(header, rows),
        *failed,
        *(lines_about(new_user) if new_user else ()),
    ]
    write_results("new_bundles", "From a folder of labelled images to a bundle", script="benchmarks/new_bundles.py",
                  record={"data": records, "new_user": new_user}, lines=lines)  # fmt: skip


def _size(patch: list[int]) -> str:
    return "x".join(map(str, patch))


def _how(runs: Mapping[str, Any], name: str) -> str:
    return f"yes, {runs[name]['seconds']} s" if runs[name]["exit_code"] == 0 else f"NO ({name}.log)"


if __name__ == "__main__":
    fire.Fire(measure)
