from __future__ import annotations

import json
import shutil

import nibabel as nib
import pytest

from monai_patchgrow.data import DataError, read_task, verify_cases


def change_json(folder, change):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def error_of(function, *arguments):
    with pytest.raises(DataError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def names(cases):
    return [case.name for case in cases]


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


# nnU-Net v1, whose dataset.json is the Decathlon's


def as_version_1(folder, *, channels=1):
    for path in list((folder / "imagesTr").iterdir()):
        stem = path.name.removesuffix(".nii.gz")
        for number in range(channels):
            shutil.copy(path, path.with_name(f"{stem}_{number:04d}.nii.gz"))
        path.unlink()
    names = {str(number): f"channel {number}" for number in range(channels)}
    change_json(folder, lambda content: content.update(modality=names))
    return folder


def test_version_1_with_one_channel(task_dir):
    case = read_task(as_version_1(task_dir)).cases[2]
    assert (case.name, case.image) == ("phantom_002", task_dir / "imagesTr" / "phantom_002_0000.nii.gz")
    verify_cases(read_task(task_dir))


def test_version_1_with_two_channels(task_dir):
    case = read_task(as_version_1(task_dir, channels=2)).cases[2]
    assert case.images == tuple(task_dir / "imagesTr" / f"phantom_002_000{number}.nii.gz" for number in (0, 1))
    verify_cases(read_task(task_dir))


def test_version_1_keeps_the_names_and_so_the_folds(phantom_task, task_dir):
    assert names(read_task(as_version_1(task_dir)).cases) == names(read_task(phantom_task).cases)


def test_version_1_without_one_of_its_channels(task_dir):
    missing = as_version_1(task_dir, channels=2) / "imagesTr" / "phantom_002_0001.nii.gz"
    missing.unlink()
    assert error_of(read_task, task_dir) == (
        f"{missing}: no such file, a channel of the case phantom_002 in nnU-Net v1's layout"
    )


def test_version_1_uncompressed(task_dir):
    for folder in ("imagesTr", "labelsTr"):
        for path in list((task_dir / folder).iterdir()):
            nib.save(nib.load(path), path.with_suffix(""))
            path.unlink()
    entries = [{key: value.removesuffix(".gz") for key, value in entry.items()} for entry in entries_of(task_dir)]
    change_json(task_dir, lambda content: content.update(training=entries))
    for path in list((task_dir / "imagesTr").iterdir()):
        path.rename(path.with_name(f"{path.stem}_0000.nii"))
    assert read_task(task_dir).cases[0].image.name == "phantom_000_0000.nii"


def entries_of(folder):
    return json.loads((folder / "dataset.json").read_text())["training"]
