"""What is harmless is mended in a copy, in which no voxel is another; the data set stays as it is."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from data_faults import DECATHLON, FIRST, LABEL

from monai_patchgrow.data import DataError, write_phantom_slides
from monai_patchgrow.data.tasks.rules import RULES
from monai_patchgrow.tools.verify_data import check_data, repair_data

HARMLESS = [rule for rule in DECATHLON if RULES[rule].is_harmless]


@pytest.fixture
def task_dir(phantom_task, tmp_path):
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))


def repaired(folder, target):
    return repair_data(check_data(folder, num_workers=0), target, num_workers=0)


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def voxels(path):
    return np.asanyarray(nib.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes())).dataobj)


def test_every_harmless_rule_is_tested():
    assert set(HARMLESS) == {rule for rule in RULES if RULES[rule].is_harmless}


@pytest.mark.parametrize("rule", HARMLESS)
def test_a_harmless_fault_is_mended(task_dir, tmp_path, rule):
    before = {name: voxels(task_dir / name) for name in (FIRST, LABEL)}
    for make in DECATHLON[rule]:
        make(task_dir)
    mended, report = repaired(task_dir, tmp_path / "mended")
    assert rule in {fault.rule for fault in mended}
    assert report.faults == ()
    for name, values in before.items():
        assert (voxels(tmp_path / "mended" / name) == values).all()


def test_what_is_not_harmless_is_still_told(task_dir, tmp_path):
    DECATHLON["label-unknown"][0](task_dir)
    DECATHLON["qform-unlike-sform"][0](task_dir)
    mended, report = repaired(task_dir, tmp_path / "mended")
    assert [fault.rule for fault in mended] == ["qform-unlike-sform"]
    assert [fault.rule for fault in report.faults] == ["label-unknown"]


def test_the_data_set_stays_as_it_is(task_dir, tmp_path):
    DECATHLON["label-grid"][0](task_dir)
    before = digests(task_dir)
    repaired(task_dir, tmp_path / "mended")
    assert digests(task_dir) == before


def test_a_float_label_that_is_not_whole_is_left_alone(task_dir, tmp_path):
    DECATHLON["label-not-whole"][0](task_dir)
    mended, _ = repaired(task_dir, tmp_path / "mended")
    assert mended == []


def test_a_target_that_holds_something_is_refused(task_dir, tmp_path):
    (tmp_path / "mended").mkdir()
    (tmp_path / "mended" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="mended: there is something already: give a new folder"):
        repaired(task_dir, tmp_path / "mended")
    with pytest.raises(DataError, match="task/mended: lies within"):
        repaired(task_dir, task_dir / "mended")


def test_images_to_classify_are_not_repaired(tmp_path):
    folder = write_phantom_slides(tmp_path / "slides", num_slides=6, size=64)
    with pytest.raises(DataError, match=r"only data sets with a dataset\.json are repaired"):
        repaired(folder, tmp_path / "mended")
