"""A package that stands in for nnunetv2, and writes down what it is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

PLAN = {
    "dataset_name": "Dataset001_Data",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "batch_size": 2,
            "patch_size": [16, 32, 24],
            "spacing": [1.5, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": False,
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "features_per_stage": [8, 16, 32],
                    "kernel_sizes": [[3, 3, 3]] * 3,
                    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                },
            },
        }
    },
}

API = """
import json, multiprocessing, os, sys, time
from pathlib import Path
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

DATASET = "Dataset001_Data"
PREPROCESSED = Path(os.environ["nnUNet_preprocessed"], DATASET)


def note(*words):
    with open(os.environ["STAND_IN_NOTES"], "a") as notes:
        notes.write(json.dumps(words) + "\\n")


def extract_fingerprints(ids, *, num_processes, check_dataset_integrity):
    described = json.loads(Path(os.environ["nnUNet_raw"], DATASET, "dataset.json").read_text())
    note("fingerprint", ids, num_processes, sorted(described["dataset"]), os.getpid())
    if os.environ.get("STAND_IN_FAULT") == "hang":
        time.sleep(100)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        cases = [(case["images"], case["label"], Path, 7) for case in described["dataset"].values()]
        found = [pool.apply(DatasetFingerprintExtractor.analyze_case, case) for case in cases]
    (PREPROCESSED / "dataset_fingerprint.json").write_text(json.dumps([repr(one) for one in found]))


def plan_experiments(ids, planner, gpu_memory_target_in_gb):
    note("plan", planner, gpu_memory_target_in_gb)
    (PREPROCESSED / "dataset_fingerprint.json").read_text()
    if os.environ.get("STAND_IN_FAULT") == "planner":
        raise RuntimeError("no patch fits")
    (PREPROCESSED / "plans.json").write_text(Path(__file__).with_name("plan.json").read_text())
    return "plans"
"""

EXTRACTOR = """
import json, os
from pathlib import Path
import numpy as np


class DatasetFingerprintExtractor:
    @staticmethod
    def analyze_case(images, label, reader, num_samples):
        if Path(label).name == os.environ.get("STAND_IN_BROKEN"):
            raise RuntimeError("broken")
        with open(os.environ["STAND_IN_NOTES"] + "_cases", "a") as notes:
            notes.write(Path(label).name + "\\n")
        voxels = np.random.RandomState(num_samples).rand(3).astype(np.float32)
        return (3, 4), [np.float64(1.5)], [voxels, []], {"mean": voxels.mean()}, np.prod((3, 4)) / 7
"""


class StandIn:
    """What the stand-in was asked for, and the folder in which temporary ones are made."""

    def __init__(self, notes: Path, temporary: Path) -> None:
        self.notes, self.temporary = notes, temporary

    def asked(self) -> list[list[object]]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def cases_read(self) -> list[str]:
        """The labels of the cases that were analysed, in order; what was kept is not."""
        notes = self.notes.with_name(f"{self.notes.name}_cases")
        return notes.read_text().splitlines() if notes.exists() else []


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> StandIn:
    """nnunetv2 2.8.1 for processes that this one starts."""
    site = tmp_path / "site"
    files = {
        "nnunetv2-2.8.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nnunetv2\nVersion: 2.8.1\n",
        "nnunetv2/experiment_planning/plan_and_preprocess_api.py": API,
        "nnunetv2/experiment_planning/dataset_fingerprint/fingerprint_extractor.py": EXTRACTOR,
        "nnunetv2/experiment_planning/plan.json": json.dumps(PLAN),
        "nnunetv2/utilities/dataset_name_id_conversion.py": (
            "def convert_id_to_dataset_name(number):\n    return f'Dataset{number:03d}_Data'\n"
        ),
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        "PYTHONPATH": str(site),
        "PATCHGROW_NNUNET_PYTHON": sys.executable,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "STAND_IN_NOTES": str(tmp_path / "notes"),
        "TMPDIR": str(temporary),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)  # the variable is read anew
    return StandIn(tmp_path / "notes", temporary)
