from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_patchgrow.data import (
    DataError,
    PreprocessedDataset,
    read_task,
    split_cases,
    verify_cases,
    write_phantom_like,
)

KIND = {
    "channels": ["T2", "ADC"],
    "labels": {0: "background", 1: "PZ", 2: "TZ"},
    "shape": (16, 16, 10),
    "spacing": (0.6, 0.6, 3.6),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Twelve cases of two channels; read it, but leave its files as they are."""
    return write_phantom_like(tmp_path_factory.mktemp("raw") / "task", num_cases=12, layout="nnunet", **KIND)


@pytest.fixture
def task_dir(sound, tmp_path):
    """A copy, to damage."""
    return Path(shutil.copytree(sound, tmp_path / "Dataset005_Prostate"))


def change_json(folder, **changes):
    path = folder / "dataset.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def error_of(folder, *, function=read_task):
    with pytest.raises(DataError) as caught:
        function(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def verify_error(folder):
    return error_of(folder, function=lambda folder: verify_cases(read_task(folder), num_workers=2))


def names(cases):
    return [case.name for case in cases]


# reading


def test_reads_channels_labels_and_names_without_the_channel(sound):
    task = read_task(sound)
    assert task.channels == ("T2", "ADC")
    assert task.labels == {0: "background", 1: "PZ", 2: "TZ"}
    assert names(task.cases)[:2] == ["phantom_000", "phantom_001"]
    assert len(task.cases) == 12


def test_an_item_lists_the_files_of_its_image_in_order(sound):
    assert read_task(sound).cases[3].as_item() == {
        "image": [f"{sound}/imagesTr/phantom_003_0000.nii.gz", f"{sound}/imagesTr/phantom_003_0001.nii.gz"],
        "label": f"{sound}/labelsTr/phantom_003.nii.gz",
    }


def test_the_file_of_a_single_channel_is_no_list(tmp_path):
    kind = {**KIND, "channels": ["CT"], "modality": "CT"}
    folder = write_phantom_like(tmp_path / "task", num_cases=1, layout="nnunet", **kind)
    assert read_task(folder).cases[0].as_item()["image"] == f"{folder}/imagesTr/phantom_000_0000.nii.gz"


def test_the_folder_names_a_task_without_a_name(task_dir):
    change_json(task_dir, name=None)
    assert read_task(task_dir).name == "Dataset005_Prostate"


def test_channels_may_be_called_modality(task_dir):
    change_json(task_dir, channel_names=None, modality={"1": "ADC", "0": "T2"})
    assert read_task(task_dir).channels == ("T2", "ADC")


def test_number_of_cases_may_be_missing(task_dir):
    change_json(task_dir, numTraining=None)
    assert len(read_task(task_dir).cases) == 12


def test_hidden_and_other_files_are_no_images(task_dir):
    for name in (".phantom_000_0000.nii.gz", "notes.txt"):
        (task_dir / "imagesTr" / name).touch()
    assert len(read_task(task_dir).cases) == 12


def test_files_that_dataset_json_names_may_lie_anywhere(task_dir, tmp_path):
    shutil.move(task_dir / "imagesTr", tmp_path / "elsewhere")
    images = [f"{tmp_path}/elsewhere/phantom_004_0000.nii.gz", "../elsewhere/phantom_004_0001.nii.gz"]
    entry = {"images": images, "label": "labelsTr/phantom_004.nii.gz"}
    change_json(task_dir, dataset={"second": entry, "first": entry}, numTraining=2)
    task = read_task(task_dir)
    verify_cases(task)
    assert names(task.cases) == ["first", "second"]
    assert task.cases[0].images[0] == tmp_path / "elsewhere/phantom_004_0000.nii.gz"


@pytest.mark.parametrize("written", ["$SECRET", "${SECRET}", "images/$SECRET"])
def test_the_environment_is_not_expanded(task_dir, monkeypatch, written):
    monkeypatch.setenv("SECRET", "swordfish")
    entry = {"images": [f"{written}/a_0000.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}
    change_json(task_dir, dataset={"a": entry}, numTraining=1)
    message = error_of(task_dir)
    assert message.startswith(f"{task_dir}/dataset.json: \"dataset\" names '{written}/a_0000.nii.gz' for case a")
    assert "variables of the environment are not expanded" in message
    assert "swordfish" not in message


def test_a_file_may_have_a_dollar_sign_in_its_name(task_dir, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    path = task_dir / "imagesTr" / "phantom_004_0000.nii.gz"
    path.rename(path.with_name("$SECRET.nii.gz"))
    images = ["imagesTr/$SECRET.nii.gz", "imagesTr/phantom_004_0001.nii.gz"]
    change_json(task_dir, dataset={"a": {"images": images, "label": "labelsTr/phantom_004.nii.gz"}}, numTraining=1)
    assert read_task(task_dir).cases[0].images[0].name == "$SECRET.nii.gz"


# computed once with scikit-learn's KFold(5, shuffle=True, random_state=12345)
@pytest.mark.parametrize(
    ("fold", "expected"), [(0, [0, 3, 8]), (1, [7, 10, 11]), (2, [6, 9]), (3, [1, 4]), (4, [2, 5])]
)
def test_folds_are_nnunet_s(sound, fold, expected):
    held_out = split_cases(read_task(sound).cases, fold=fold)[1]
    assert names(held_out) == [f"phantom_{number:03d}" for number in expected]


def test_folds_are_those_of_the_same_data_in_decathlon_layout(sound, tmp_path):
    decathlon = write_phantom_like(tmp_path / "decathlon", num_cases=12, **KIND)
    folds = [[names(part) for part in split_cases(read_task(f).cases, fold=2)] for f in (sound, decathlon)]
    assert folds[0] == folds[1]


# what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, 'no "labels" in it; needed are "channel_names", "labels" and "file_ending"'),
        ({"file_ending": None}, 'no "file_ending" in it'),
        ({"channel_names": None}, 'no "channel_names" in it'),
        ({"channel_names": {"0": "T2", "2": "ADC"}}, '"channel_names" must be numbered 0, 1, 2, ... without gaps'),
        ({"channel_names": ["T2", "ADC"]}, '"channel_names" must map numbers to names'),
        ({"labels": {"background": 0, "TZ": 2}}, '"labels" must be numbered 0, 1, 2, ... without gaps, got [0, 2]'),
        ({"labels": {"background": 0, "PZ": 1, "TZ": 1}}, '"labels" must be numbered 0, 1, 2, ... without gaps'),
        ({"labels": {"0": "background", "1": "PZ"}}, '"labels" must map names to values'),
        ({"labels": {"background": 0, "prostate": [1, 2]}}, "regions_class_order must have one value per region"),
        ({"labels": {"background": 0, "PZ": 1, "ignore": 3}}, 'labels: "ignore" must be the highest value, 2 here'),
        ({"labels": ["background"]}, '"labels" must map names to values'),
        ({"file_ending": ".nrrd"}, "\"file_ending\" is '.nrrd': only .nii.gz and .nii are read"),
        ({"numTraining": 13}, '"numTraining" is 13, but there are 12 cases'),
        ({"dataset": []}, '"dataset" must map case names'),
        ({"dataset": {"a": {"images": ["x"]}}}, '"dataset" has no "images" (a list) and "label" for case a'),
        ({"dataset": {"a": {"images": ["x"], "label": "y"}}}, '"dataset" names 1 images for case a'),
    ],
)
def test_fault_of_dataset_json(task_dir, changes, message):
    change_json(task_dir, **changes)
    assert error_of(task_dir).startswith(f"{task_dir}/dataset.json: {message}")


def test_missing_channel(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0001.nii.gz"
    path.unlink()
    assert error_of(task_dir) == f"{path}: no such file, the channel ADC of case phantom_004"


def test_label_without_an_image(task_dir):
    for number in range(2):
        (task_dir / "imagesTr" / f"phantom_004_000{number}.nii.gz").unlink()
    path = task_dir / "imagesTr" / "phantom_004_0000.nii.gz"
    assert error_of(task_dir) == f"{path}: no such file, the channel T2 of case phantom_004"


def test_missing_label(task_dir):
    path = task_dir / "labelsTr" / "phantom_004.nii.gz"
    path.unlink()
    assert error_of(task_dir) == f"{path}: no such file, the label of case phantom_004"


def test_missing_case(task_dir):
    for path in [*task_dir.glob("imagesTr/phantom_004*"), task_dir / "labelsTr/phantom_004.nii.gz"]:
        path.unlink()
    assert '"numTraining" is 12, but there are 11 cases: is one missing?' in error_of(task_dir)


def test_channel_too_many(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0002.nii.gz"
    path.touch()
    assert error_of(task_dir) == f"{path}: case phantom_004 has channel 2, dataset.json names 0 to 1"


def test_image_without_a_channel_in_its_name(task_dir):
    path = task_dir / "imagesTr" / "phantom_004.nii.gz"
    path.touch()
    assert error_of(task_dir) == f"{path}: no channel in its name, as in CASE_0000.nii.gz"


@pytest.mark.parametrize("name", ["imagesTr", "labelsTr"])
def test_missing_folder(task_dir, name):
    shutil.rmtree(task_dir / name)
    assert error_of(task_dir).startswith(f"{task_dir / name}: no such folder")


def test_images_with_another_ending(task_dir):
    change_json(task_dir, file_ending=".nii")
    assert error_of(task_dir) == f"{task_dir}/imagesTr: no images that end with .nii"


# verifying


def rewrite(path, *, voxels=None, shift_mm=0.0):
    nifti = nib.load(path)
    affine = nifti.affine.copy()
    affine[0, 3] += shift_mm
    nib.save(nib.Nifti1Image(np.asanyarray(nifti.dataobj) if voxels is None else voxels, affine), path)


def test_broken_second_channel(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0001.nii.gz"
    path.write_bytes(path.read_bytes()[:100])
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_channel_of_another_shape(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0001.nii.gz"
    rewrite(path, voxels=np.zeros((16, 16, 9), np.int16))
    assert verify_error(task_dir) == f"{path}: shape (16, 16, 9), but phantom_004_0000.nii.gz has (16, 16, 10)"


def test_channel_of_another_affine(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0001.nii.gz"
    rewrite(path, shift_mm=0.6)
    assert verify_error(task_dir) == f"{path}: affine is 1 voxels off that of phantom_004_0000.nii.gz: resample it"


def test_a_channel_may_be_blank_but_not_all(task_dir):
    one, other = (task_dir / "imagesTr" / f"phantom_004_000{number}.nii.gz" for number in (0, 1))
    rewrite(one, voxels=np.zeros((16, 16, 10), np.int16))
    verify_cases(read_task(task_dir))
    rewrite(other, voxels=np.zeros((16, 16, 10), np.int16))
    assert verify_error(task_dir) == f"{one}: all voxels are 0: leave the case out of dataset.json"


@pytest.mark.parametrize("change", [{"file_ending": "nii.gz"}, {"numTraining": "12"}], ids=str)
def test_spellings_that_people_have(task_dir, change):
    change_json(task_dir, **change)
    assert len(read_task(task_dir).cases) == 12


def test_a_byte_order_mark_is_no_fault(task_dir):
    path = task_dir / "dataset.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_task(task_dir).cases) == 12


def test_two_channels_in_a_file_of_one(task_dir):
    path = task_dir / "imagesTr" / "phantom_004_0001.nii.gz"
    rewrite(path, voxels=np.zeros((16, 16, 10, 2), np.int16))
    assert verify_error(task_dir) == f"{path}: shape (16, 16, 10, 2) has 2 channels, dataset.json 1"


# MONAI's own reading


def load():
    keys = ["image", "label"]
    return Compose([LoadImaged(keys), EnsureChannelFirstd(keys)])


def test_monai_stacks_the_files(sound, tmp_path):
    decathlon = write_phantom_like(tmp_path / "decathlon", num_cases=12, **KIND)
    one, other = (load()(read_task(folder).cases[5].as_item()) for folder in (sound, decathlon))
    assert one["image"].shape == (2, 16, 16, 10)
    assert torch.equal(one["image"], other["image"])
    assert torch.equal(one["image"].affine, other["image"].affine)


@pytest.mark.parametrize("suffix", ["_0000", "_0001"])
def test_preprocessed_cases_follow_every_file(task_dir, tmp_path, suffix):
    def preprocess():
        items = [case.as_item() for case in read_task(task_dir).cases[:2]]
        dataset = PreprocessedDataset(items, load(), tmp_path / "preprocessed")
        return dataset[0]["image"], len(list((tmp_path / "preprocessed").glob("*.pt")))

    before, number = preprocess()
    assert (before.shape, number) == ((2, 16, 16, 10), 2)
    rewrite(task_dir / "imagesTr" / f"phantom_000{suffix}.nii.gz", voxels=np.full((16, 16, 10), 7, np.int16))
    after, number = preprocess()
    assert number == 3
    assert (after[int(suffix[-1])] == 7).all()
    assert torch.equal(after[1 - int(suffix[-1])], before[1 - int(suffix[-1])])
