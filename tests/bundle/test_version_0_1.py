"""What old JSON calls, preflight: every wrong setting and every unsound file ends in one line and exit status 1."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.bundle.version_0_1 import preflight

SETTINGS = {
    "fold": 0,
    "channels": ["synthetic"],
    "labels": {"0": "background", "1": "head", "2": "tail"},
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    "features": [4, 8, 16],
    "num_workers": 0,
    "seed": 0,
    "boolean": {"resume": False, "augment": "true"},
    "positive": {"iterations_per_epoch": 2, "val_interval": 1},
    "patch_size": [16, 16, 16],
    "total_stride": [4, 4, 4],
    "batch_size": 2,
    "max_epochs": 100,
    "curriculum": "efficiency",
    "axis_order": [2, 1, 0],
    "mirror_axes": [0, 1, 2],
}
IMAGE, LABEL = "imagesTr/phantom_003.nii.gz", "labelsTr/phantom_003.nii.gz"


@pytest.fixture
def task_dir(phantom_task, tmp_path):
    """A copy of the phantom task, to damage."""
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))


def fault(dataset_dir, **changes):
    """The line that preflight fails with."""
    with pytest.raises((ValueError, OSError)) as caught:
        preflight(dataset_dir=str(dataset_dir), **{**SETTINGS, **changes})
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def rewrite(path, change=lambda voxels: voxels, *, shift_mm=0.0):
    nifti = nib.load(path)
    affine = nifti.affine.copy()
    affine[0, 3] += shift_mm
    nib.save(nib.Nifti1Image(change(np.asanyarray(nifti.dataobj)), affine), path)


def test_sound_settings_and_data_pass(phantom_task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preflight(dataset_dir=str(phantom_task), **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_command_exits_with_the_line(tmp_path, monkeypatch):
    # A string as the code: the interpreter prints it and ends with status 1.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="monai.bundle.__main__"))
    with pytest.raises(SystemExit) as caught:
        preflight(dataset_dir=str(tmp_path / "absent"), **SETTINGS)
    assert caught.value.code == f"error: {tmp_path}/absent: no such folder"


# data


def test_missing_folder(tmp_path):
    assert fault(tmp_path / "absent") == f"{tmp_path}/absent: no such folder"


def test_no_dataset_json(tmp_path):
    assert fault(tmp_path) == f"{tmp_path}: no dataset.json; needed are dataset.json, imagesTr and labelsTr"


def test_image_without_label(task_dir):
    (task_dir / LABEL).unlink()
    assert fault(task_dir) == f"{task_dir / LABEL}: label named in dataset.json, but there is no such file"


def test_label_of_another_shape(task_dir):
    rewrite(task_dir / LABEL, lambda voxels: voxels[:20, :20, :20])
    assert fault(task_dir).startswith(f"{task_dir / LABEL}: shape (20, 20, 20), but its image has (")


def test_label_of_another_affine(task_dir):
    rewrite(task_dir / LABEL, shift_mm=2.0)
    assert fault(task_dir).startswith(f"{task_dir / LABEL}: its header puts voxels 2 voxels off its image's, though")


def test_unknown_label_value(task_dir):
    rewrite(task_dir / LABEL, lambda voxels: np.where(voxels == 2, 3, voxels).astype(np.uint8))
    assert fault(task_dir) == f"{task_dir / LABEL}: label value 3, but dataset.json names 0 to 2 only"


@pytest.mark.parametrize("file", [IMAGE, LABEL])
@pytest.mark.parametrize("kept", [0, 200, -10])
def test_truncated_file(task_dir, file, kept):
    content = (task_dir / file).read_bytes()
    (task_dir / file).write_bytes(content[:kept])
    assert fault(task_dir).startswith(f"{task_dir / file}: truncated or corrupt NIfTI (")


def test_too_few_cases_for_the_folds(task_dir):
    content = json.loads((task_dir / "dataset.json").read_text())
    content["training"] = content["training"][:1]
    (task_dir / "dataset.json").write_text(json.dumps(content))
    assert fault(task_dir) == "1 case can't be split into folds: fold='all' trains and validates on the same"


# settings against the data


def test_other_channels(phantom_task):
    assert fault(phantom_task, channels=["T1", "T2"]) == (
        f"{phantom_task}: has the channels ('synthetic',), the bundle takes ('T1', 'T2')"
    )


def test_other_labels(phantom_task):
    assert fault(phantom_task, labels={"0": "background", "1": "organ"}) == (
        f"{phantom_task}: has the labels {{0: 'background', 1: 'head', 2: 'tail'}}, "
        "the bundle knows {0: 'background', 1: 'organ'}"
    )


def test_unknown_fold(phantom_task):
    assert fault(phantom_task, fold=5) == "fold must be one of 0 to 4 or 'all', got 5"


# settings


def test_illegal_patch_size(phantom_task):
    assert fault(phantom_task, patch_size=[16, 18, 16]) == (
        "patch_size must be a multiple of total_stride on every axis, got 18 on axis 1 (stride 4): "
        "nearest are 16 and 20"
    )


def test_unknown_curriculum(phantom_task):
    assert fault(phantom_task, curriculum="eficiency") == (
        "curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random, got 'eficiency': "
        "did you mean 'efficiency'?"
    )


def test_features_of_another_depth_than_the_strides(phantom_task):
    assert fault(phantom_task, features=[4, 8]) == "features must have one entry per level (3), got [4, 8]"


def test_total_stride_that_is_not_the_strides_product(phantom_task):
    assert fault(phantom_task, total_stride=[8, 4, 4]) == (
        "total_stride must be the product of the strides, [4, 4, 4], got [8, 4, 4]"
    )


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_number_that_must_be_positive(phantom_task, value):
    assert fault(phantom_task, positive={"val_interval": value}) == (
        f"val_interval must be an integer of at least 1, got {value!r}"
    )


@pytest.mark.parametrize("name", ["batch_size", "max_epochs"])
@pytest.mark.parametrize("value", [0, 2.5, "9"])
def test_bad_number_of_the_plan(phantom_task, name, value):
    assert fault(phantom_task, **{name: value}) == f"{name} must be an integer of at least 1, got {value!r}"


def test_switch_that_is_neither_true_nor_false(phantom_task):
    assert fault(phantom_task, boolean={"augment": "no"}) == "augment must be True or False, got 'no'"


def test_negative_number_of_workers(phantom_task):
    assert fault(phantom_task, num_workers=-1) == "num_workers must be an integer of at least 0, got -1"


def test_settings_are_checked_before_the_data(tmp_path):
    assert fault(tmp_path / "absent", curriculum="fast").startswith("curriculum must be one of")


def test_exit_status_is_one(tmp_path):
    code = (
        "from monai_patchgrow.bundle.one_line import one_line_errors\nwith one_line_errors(): raise ValueError('a\\nb')"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (1, "error: a b\n")


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ([3], "mirror_axes must be one of (0, 1, 2), got 3"),
        ("[0, 1", "mirror_axes must be a list, got '[0, 1'"),
    ],
)
def test_axes_that_can_t_be_mirrored(phantom_task, axes, line):
    assert fault(phantom_task, mirror_axes=axes) == line
