from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.data.decathlon import (
    Case,
    DataError,
    DecathlonTask,
    read_task,
    split_cases,
    verify_cases,
)


@pytest.fixture
def task_dir(phantom_task, tmp_path):
    """A copy of the phantom task, to damage."""
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))


def change_json(folder, change):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite(path, change=lambda voxels: voxels, *, dtype=None, shift_mm=0.0, kind=nib.Nifti1Image):
    nifti = nib.load(path)
    voxels = change(np.asanyarray(nifti.dataobj)).astype(dtype or nifti.get_data_dtype())
    affine = nifti.affine.copy()
    affine[0, 3] += shift_mm
    nib.save(kind(voxels, affine), path)


def set_first(value):
    def change(voxels):
        voxels = voxels.astype(np.float32)
        voxels[0, 0, 0] = value
        return voxels

    return change


def error_of(function, *arguments):
    with pytest.raises(DataError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def verify_error(folder):
    return error_of(lambda: verify_cases(read_task(folder), num_workers=2))


def make_cases(count):
    return [Case(f"c{i:02d}", Path(f"{i}.nii.gz"), Path(f"{i}.nii.gz")) for i in range(count)]


def names(cases):
    return [case.name for case in cases]


# reading


def test_reads_names_channels_and_labels(phantom_task):
    task = read_task(phantom_task)
    assert (task.name, task.channels) == ("Phantom", ("synthetic",))
    assert task.labels == {0: "background", 1: "head", 2: "tail"}


def test_cases_are_sorted_by_name(task_dir):
    change_json(task_dir, lambda content: content["training"].reverse())
    assert names(read_task(task_dir).cases)[:2] == ["phantom_000", "phantom_001"]


def test_paths_do_not_depend_on_the_working_directory(phantom_task):
    case = read_task(phantom_task).cases[3]
    assert case.as_item() == {
        "image": f"{phantom_task}/imagesTr/phantom_003.nii.gz",
        "label": f"{phantom_task}/labelsTr/phantom_003.nii.gz",
    }


def test_a_path_may_be_a_string(phantom_task):
    assert len(read_task(str(phantom_task)).cases) == 10


def test_channels_are_ordered_by_number(task_dir):
    change_json(task_dir, lambda content: content.update(modality={"1": "T2", "0": "FLAIR"}))
    assert read_task(task_dir).channels == ("FLAIR", "T2")


def test_missing_folder(tmp_path):
    assert error_of(read_task, tmp_path / "absent") == f"{tmp_path}/absent: no such folder"


def test_no_dataset_json(tmp_path):
    assert error_of(read_task, tmp_path).startswith(f"{tmp_path}: no dataset.json")


@pytest.mark.parametrize("text", ["", "{", '{"labels": {}}\n]'])
def test_invalid_json(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    assert "dataset.json: not valid JSON" in error_of(read_task, tmp_path)


def test_json_that_is_no_text(tmp_path):
    (tmp_path / "dataset.json").write_bytes(b"\xff\xfe{}")
    assert "dataset.json: not valid JSON" in error_of(read_task, tmp_path)


@pytest.mark.parametrize("key", ["training", "labels", "modality"])
def test_missing_key(task_dir, key):
    change_json(task_dir, lambda content: content.pop(key))
    assert f'dataset.json: no "{key}" in it' in error_of(read_task, task_dir)


def test_json_that_is_a_list(tmp_path):
    (tmp_path / "dataset.json").write_text("[]")
    assert 'no "modality" in it' in error_of(read_task, tmp_path)


@pytest.mark.parametrize("training", [[], {}, "all"])
def test_no_training_cases(task_dir, training):
    change_json(task_dir, lambda content: content.update(training=training))
    assert '"training" must be a list of at least one' in error_of(read_task, task_dir)


def test_labels_with_a_gap(task_dir):
    change_json(task_dir, lambda content: content.update(labels={"0": "background", "2": "tail"}))
    assert '"labels" must be numbered 0, 1, 2, ... without gaps, got [0, 2]' in error_of(read_task, task_dir)


@pytest.mark.parametrize("labels", [{"background": 0}, ["background", "head"], None])
def test_labels_that_map_no_numbers(task_dir, labels):
    change_json(task_dir, lambda content: content.update(labels=labels))
    assert '"labels" must map numbers to names' in error_of(read_task, task_dir)


@pytest.mark.parametrize("key", ["image", "label"])
def test_entry_without_a_file(task_dir, key):
    change_json(task_dir, lambda content: content["training"][1].pop(key))
    assert f'"training" entry 1 has no "{key}"' in error_of(read_task, task_dir)


@pytest.mark.parametrize(("key", "folder"), [("image", "imagesTr"), ("label", "labelsTr")])
def test_file_that_is_not_there(task_dir, key, folder):
    path = task_dir / folder / "phantom_004.nii.gz"
    path.unlink()
    assert error_of(read_task, task_dir).startswith(f"{path}: {key} named in dataset.json")


def test_duplicate_case(task_dir):
    change_json(task_dir, lambda content: content["training"].append(content["training"][2]))
    assert '"training" lists case phantom_002 twice' in error_of(read_task, task_dir)


# splitting


def test_first_fold_of_task04(task04):
    train, validation = split_cases(read_task(task04).cases, fold=0)
    assert (len(train), len(validation)) == (160, 40)
    assert names(validation)[:5] == [
        "hippocampus_025",
        "hippocampus_039",
        "hippocampus_040",
        "hippocampus_045",
        "hippocampus_057",
    ]


# computed once with scikit-learn's KFold(5, shuffle=True, random_state=12345)
@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (0, ["c00", "c03", "c08"]),
        (1, ["c07", "c10", "c11"]),
        (2, ["c06", "c09"]),
        (3, ["c01", "c04"]),
        (4, ["c02", "c05"]),
    ],
)
def test_folds_are_scikit_learns(fold, expected):
    assert names(split_cases(make_cases(12), fold=fold)[1]) == expected


def test_folds_hold_every_case_once():
    held_out = [name for fold in range(5) for name in names(split_cases(make_cases(23), fold=fold)[1])]
    assert sorted(held_out) == names(make_cases(23))


def test_train_and_validation_are_disjoint():
    train, validation = split_cases(make_cases(23), fold=3)
    assert sorted(names(train) + names(validation)) == names(make_cases(23))


def test_order_of_the_cases_does_not_matter():
    assert split_cases(make_cases(12)[::-1], fold=1) == split_cases(make_cases(12), fold=1)


def test_fold_all_trains_and_validates_on_everything():
    train, validation = split_cases(make_cases(3), fold="all")
    assert names(train) == names(validation) == ["c00", "c01", "c02"]


@pytest.mark.parametrize("fold", [5, -1, "0", "every", None, 0.5])
def test_unknown_fold(fold):
    with pytest.raises(ValueError, match="fold must be one of 0 to 4 or 'all', got"):
        split_cases(make_cases(10), fold=fold)


@pytest.mark.parametrize(("count", "num_folds"), [(4, 5), (0, 5), (10, 1)])
def test_impossible_number_of_folds(count, num_folds):
    with pytest.raises(ValueError, match=f"{count} cases do not make {num_folds} folds"):
        split_cases(make_cases(count), fold=0, num_folds=num_folds)


# verifying


def test_phantom_is_sound(phantom_task):
    verify_cases(read_task(phantom_task))


def test_task04_is_sound(task04):
    verify_cases(read_task(task04))


def test_nothing_is_printed_off_a_terminal(phantom_task, capfd):
    verify_cases(read_task(phantom_task))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
@pytest.mark.parametrize("kept", [0, 8, 200, -1])
def test_truncated_file(task_dir, folder, kept):
    path = task_dir / folder / "phantom_002.nii.gz"
    path.write_bytes(path.read_bytes()[:kept])
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_flipped_byte_of_a_compressed_file(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_truncated_voxels_in_a_sound_gzip_file(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_file_that_is_no_nifti(task_dir):
    path = task_dir / "labelsTr" / "phantom_002.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 200))
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_value_that_is_not_finite(task_dir, value):
    path = task_dir / "imagesTr" / "phantom_001.nii.gz"
    rewrite(path, set_first(value), dtype=np.float32)
    assert verify_error(task_dir).startswith(f"{path}: 1 values are NaN or infinite")


def test_wrong_number_of_channels(task_dir):
    change_json(task_dir, lambda content: content.update(modality={"0": "T1", "1": "T2"}))
    message = verify_error(task_dir)
    assert "phantom_000.nii.gz: shape (34, 41, 28) has 1 channels, dataset.json 2" in message


def test_two_channels_on_the_fourth_axis(task_dir):
    change_json(task_dir, lambda content: content.update(modality={"0": "T1", "1": "T2"}))
    for path in (task_dir / "imagesTr").iterdir():
        rewrite(path, lambda voxels: np.stack([voxels, voxels], axis=3))
    verify_cases(read_task(task_dir))


def test_shape_that_differs(task_dir):
    path = task_dir / "labelsTr" / "phantom_000.nii.gz"
    rewrite(path, lambda voxels: voxels[1:])
    assert verify_error(task_dir) == f"{path}: shape (33, 41, 28), but its image has (34, 41, 28)"


def test_affine_that_differs(task_dir):
    path = task_dir / "labelsTr" / "phantom_000.nii.gz"
    rewrite(path, shift_mm=0.01)
    assert verify_error(task_dir) == f"{path}: affine is 0.01 mm off its image's: resample it"


def test_affine_that_differs_by_rounding(task_dir):
    rewrite(task_dir / "labelsTr" / "phantom_000.nii.gz", shift_mm=0.0005)
    verify_cases(read_task(task_dir))


@pytest.mark.parametrize("value", [3, -1])
def test_unknown_label_value(task_dir, value):
    path = task_dir / "labelsTr" / "phantom_005.nii.gz"
    rewrite(path, set_first(value), dtype=np.int16)
    assert verify_error(task_dir) == f"{path}: label value {value}, but dataset.json names 0 to 2 only"


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_label_value_that_is_no_whole_number(task_dir, value):
    path = task_dir / "labelsTr" / "phantom_005.nii.gz"
    rewrite(path, set_first(value), dtype=np.float32)
    assert verify_error(task_dir) == f"{path}: label value {value:g} is not a whole number"


def test_labels_may_be_stored_as_floats(task_dir):
    rewrite(task_dir / "labelsTr" / "phantom_005.nii.gz", dtype=np.float32)
    verify_cases(read_task(task_dir))


def test_nifti2_is_read(task_dir):
    rewrite(task_dir / "imagesTr" / "phantom_005.nii.gz", kind=nib.Nifti2Image)
    verify_cases(read_task(task_dir))


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_first_problem_is_named_and_the_others_counted(task_dir, num_workers):
    for number in (7, 2, 4):
        (task_dir / "imagesTr" / f"phantom_{number:03d}.nii.gz").write_bytes(b"")
    message = error_of(lambda: verify_cases(read_task(task_dir), num_workers=num_workers))
    assert "phantom_002.nii.gz" in message
    assert message.endswith("(and 2 more)")


def test_only_the_given_cases_are_checked(task_dir):
    task = read_task(task_dir)
    task.cases[3].label.write_bytes(b"")
    verify_cases(task, task.cases[:3])


def test_file_that_vanished_after_reading(task_dir):
    task: DecathlonTask = read_task(task_dir)
    task.cases[0].image.unlink()
    assert "phantom_000.nii.gz" in error_of(verify_cases, task)
