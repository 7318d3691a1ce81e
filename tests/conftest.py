"""Data that several tests read: the real Task04 where there is one, and a small phantom task."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_patchgrow.data.synthetic.phantom import write_phantom_task

TRAINING = {"made", "processes", "runs", "spleen", "tracked", "trained", "trained_bundle"}
"""Fixtures that train a bundle or start several processes, module by module: tests that use one are slow."""

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what waits for a training, and let files of such tests begin: no core is left alone with one."""
    for item in items:
        if TRAINING.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def task04() -> Path:
    """The folder of MSD Task04 (200 cases) under PATCHGROW_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("PATCHGROW_DATA", DEFAULT_DATA)) / "Task04_Hippocampus"
    if not (folder / "dataset.json").is_file():
        pytest.skip(f"no data set in {folder}: set PATCHGROW_DATA to the folder that holds Task04_Hippocampus")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of nnU-Net's own plans, ``reference`` beside the folder of PATCHGROW_DATA."""
    folder = Path(os.environ.get("PATCHGROW_DATA", DEFAULT_DATA)).parent / "reference"
    if not (folder / "nnunet_plans").is_dir():
        pytest.skip(f"no folder {folder / 'nnunet_plans'}: set PATCHGROW_DATA to the folder beside reference")
    return folder


@pytest.fixture(scope="session")
def phantom_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom task of 10 cases; read it, but leave its files as they are."""
    return write_phantom_task(tmp_path_factory.mktemp("phantom") / "task", num_cases=10)
