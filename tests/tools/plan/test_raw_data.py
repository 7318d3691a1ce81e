"""How a data set is shown to nnU-Net: its own dataset.json, each file by its path, axes as they are stored."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.data import write_phantom_like
from monai_patchgrow.tools.plan.raw_data import folder_name, raw_description, usual_orientation

KIND = {"channels": ["T2", "CT"], "labels": {0: "background", 1: "lesion"}, "shape": (16, 16, 10), "num_cases": 2}


def test_the_decathlon_s_layout_is_described_in_nnunet_s_words(tmp_path):
    described = raw_description(write_phantom_like(tmp_path / "task", **KIND))
    cases = described.pop("dataset")
    labels = {"0": 0, "1": 1}
    channels = {"0": "T2", "1": "CT"}
    assert described == {"channel_names": channels, "labels": labels, "file_ending": ".nii.gz", "numTraining": 2}
    assert [len(case["images"]) for case in cases.values()] == [1, 1]


@pytest.mark.parametrize(
    ("labels", "order", "described"),
    [
        ({"bg": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2], {"whole": [1, 2], "core": 2, "ignore": 3}),
        ({"0": "background", "1": "lesion", "2": "ignore"}, None, {"1": 1, "ignore": 2}),
    ],
)
def test_regions_and_ignored_voxels_are_described_as_nnunet_has_them(tmp_path, labels, order, described):
    folder = write_phantom_like(tmp_path / "task", **KIND)
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, "labels": labels, "regions_class_order": order}))
    found = raw_description(folder)
    background = {"background": 0} if order else {"0": 0}
    assert (found["labels"], found.get("regions_class_order")) == ({**background, **described}, order)


def test_of_nnunet_s_layout_the_dataset_json_stays(tmp_path):
    described = raw_description(write_phantom_like(tmp_path / "task", layout="nnunet", **KIND))
    assert described["labels"] == {"background": 0, "lesion": 1}
    assert [len(case["images"]) for case in described["dataset"].values()] == [2, 2]


def test_files_are_named_by_whole_paths(tmp_path, monkeypatch):
    write_phantom_like(tmp_path / "task", **KIND)
    monkeypatch.chdir(tmp_path)
    files = [case["label"] for case in raw_description(Path("task"))["dataset"].values()]
    assert [Path(file).parent for file in files] == [tmp_path / "task" / "labelsTr"] * 2


@pytest.mark.parametrize(
    ("folder", "name"),
    [("/data/Task04_Hippocampus/", "Task04_Hippocampus"), ("/a/.my data", "_my_data"), ("/", "data")],
)
def test_the_name_of_a_folder(folder, name):
    assert folder_name(Path(folder)) == name


def test_the_orientation_is_that_of_most_images(tmp_path):
    files = []
    for number, signs in enumerate([(1, 1, 1), (-1, -1, 1), (-1, -1, 1)]):
        files.append(tmp_path / f"{number}.nii.gz")
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.diag([*signs, 1])), files[-1])
    assert usual_orientation(files) == ("LPS", 2)
