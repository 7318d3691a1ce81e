"""Labelled images are found by a table or by folders, and split so that each fold has all classes."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from monai_patchgrow.data import DataError, find_images, read_labelled_images, split_images


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_a_table_with_its_images_in_a_folder(tmp_path):
    touch(tmp_path, "train_images/a.tiff", "train_images/b.tiff")
    (tmp_path / "train.csv").write_text("image_id,isup_grade\na,0\nb,5\n")
    assert read_labelled_images(tmp_path, 6) == [
        {"image": str(tmp_path / "train_images/a.tiff"), "label": 0, "name": "a"},
        {"image": str(tmp_path / "train_images/b.tiff"), "label": 5, "name": "b"},
    ]


def test_a_table_beside_its_images(tmp_path):
    touch(tmp_path, "scan.nii.gz")
    (tmp_path / "labels.csv").write_text("image,label\nscan.nii.gz,1\n")
    assert read_labelled_images(tmp_path, 2) == [{"image": str(tmp_path / "scan.nii.gz"), "label": 1, "name": "scan"}]


def test_a_folder_per_class(tmp_path):
    touch(tmp_path, "healthy/1.nii.gz", "ill/1.nii", "notes/read.txt")
    assert [(item["name"], item["label"]) for item in read_labelled_images(tmp_path, 2)] == [
        ("healthy_1", 0),
        ("ill_1", 1),
    ]


def test_another_number_of_classes_is_refused(tmp_path):
    touch(tmp_path, "healthy/1.nii.gz", "ill/1.nii")
    with pytest.raises(DataError, match=r"nor one folder of images for each of 3 classes; .*: healthy, ill"):
        read_labelled_images(tmp_path, 3)


def test_a_grade_out_of_range_is_refused(tmp_path):
    touch(tmp_path, "train_images/a.tiff")
    (tmp_path / "train.csv").write_text("image_id,isup_grade\na,6\n")
    with pytest.raises(DataError, match="line 2: a label must be a whole number from 0 to 5, got '6'"):
        read_labelled_images(tmp_path, 6)


def test_images_of_a_folder_and_those_below_it(tmp_path):
    touch(tmp_path, "b.png", "deep/a.npy", "read.txt", "slide.zarr/0")
    assert [item["name"] for item in find_images(tmp_path)] == ["b", "deep_a", "slide"]


@pytest.mark.parametrize("locked", [".", "deep", "deep/er"])
def test_a_folder_that_can_not_be_listed_is_named(tmp_path, locked, monkeypatch):
    touch(tmp_path, "b.png", "deep/er/a.npy")
    list_folder = os.scandir

    def deny(path="."):
        if Path(path) == tmp_path / locked:
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(DataError, match=rf"^{tmp_path / locked}: can't be opened \(Permission denied\)$"):
        find_images(tmp_path)


def test_names_are_unique(tmp_path):
    touch(tmp_path, "a.png", "a.npy", "s/b.png", "s_b.png", "c.png")
    names = [item["name"] for item in find_images(tmp_path)]
    assert names == ["a.npy", "a.png", "c", "s_b.png", "s_b.png_"]


def test_images_of_a_table_outside_of_the_folder(tmp_path):
    touch(tmp_path, "elsewhere/a.tiff", "set/images/b.tiff", "c.tiff")
    (tmp_path / "set/train.csv").write_text(f"path,label\n{tmp_path}/elsewhere/a,1\nb,0\n../../c.tiff,1\n")
    assert [item["name"] for item in read_labelled_images(tmp_path / "set", 2)] == ["a", "b", "c"]


def test_what_an_earlier_run_wrote_is_left_out(tmp_path):
    touch(tmp_path, "a.png", "predictions/evidence/a.png")
    assert [item["name"] for item in find_images(tmp_path, exclude=[tmp_path / "predictions"])] == ["a"]


def test_only_folders_inside_the_source_are_left_out(tmp_path):
    touch(tmp_path, "a.png")
    assert len(find_images(tmp_path, exclude=[tmp_path, tmp_path.parent])) == 1


def test_hidden_files_are_left_out(tmp_path):
    touch(tmp_path, "a.png", "._a.png", ".cache/b.png")
    assert [item["name"] for item in find_images(tmp_path)] == ["a"]


def test_hidden_files_and_folders_are_of_no_class(tmp_path):
    touch(tmp_path, "healthy/1.png", "healthy/._1.png", "ill/1.png", ".trash/1.png")
    assert len(read_labelled_images(tmp_path, 2)) == 2


def test_a_dicom_slides_files_are_found_by_name_only(tmp_path):
    touch(tmp_path, "a.png", "slide/1.dcm", "slide/2.dcm")
    assert len(find_images(tmp_path)) == len(find_images(tmp_path / "slide/1.dcm")) == 1


def test_only_images_with_the_suffixes_given_are_listed(tmp_path):
    touch(tmp_path, "healthy/1.nii.gz", "healthy/1.png", "ill/1.nii", "notes/page.png")
    items = read_labelled_images(tmp_path, 2, suffixes=(".nii", ".nii.gz"))
    assert [item["name"] for item in items] == ["healthy_1", "ill_1"]


def test_the_log_says_which_folder_is_which_class(tmp_path, caplog):
    touch(tmp_path, "ill/1.png", "healthy/1.png")
    with caplog.at_level(logging.INFO):
        read_labelled_images(tmp_path, 2)
    assert caplog.messages == [f"{tmp_path}: classes: 0 healthy, 1 ill"]


def test_values_of_a_table(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png")
    (tmp_path / "labels.csv").write_text("image,label\na,41.2\nb,3\n")
    assert [item["label"] for item in read_labelled_images(tmp_path, 2, values=True)] == [41.2, 3.0]


def test_a_single_image(tmp_path):
    assert find_images(touch(tmp_path, "a.nii.gz") / "a.nii.gz")[0]["name"] == "a"


@pytest.mark.parametrize(("name", "fault"), [(".", "no image in it"), ("absent", "no such file or folder")])
def test_no_image_is_refused(tmp_path, name, fault):
    with pytest.raises(DataError, match=fault):
        find_images(tmp_path / name)


def test_folds_part_the_images():
    items = [{"name": f"{number:02d}", "label": number % 3} for number in range(23)]
    held_out = [item["name"] for fold in range(5) for item in split_images(items, fold=fold)[1]]
    assert sorted(held_out) == [item["name"] for item in items]


def test_each_fold_has_all_classes():
    items = [{"name": f"{number:02d}", "label": int(number < 5)} for number in range(50)]
    for fold in range(5):
        assert np.bincount([item["label"] for item in split_images(items, fold=fold)[1]]).tolist() == [9, 1]


def test_values_are_split_without_classes():
    items = [{"name": f"{number:02d}", "label": value} for number, value in enumerate([0.5, 1.5, 2.5, 3.5, 4.5] * 2)]
    same = [{**item, "label": 0} for item in items]
    names = [[[item["name"] for item in part] for part in split_images(one, fold=2)] for one in (items, same)]
    assert names[0] == names[1]


def test_images_of_a_patient_stay_together():
    items = [{"name": f"{number:02d}", "label": number % 2, "patient": f"p{number // 3}"} for number in range(30)]
    for fold in range(5):
        train, held_out = ({item["patient"] for item in part} for part in split_images(items, fold=fold))
        assert not train & held_out
        assert len(held_out) == 2


def test_patients_with_an_image_each_are_split_as_images():
    items = [{"name": f"{number:02d}", "label": number % 3} for number in range(23)]
    named = [{**item, "patient": item["name"]} for item in items]
    names = [[item["name"] for item in split_images(one, fold=3)[1]] for one in (items, named)]
    assert names[0] == names[1]


def test_fewer_patients_than_folds_make_a_fold_each():
    items = [{"name": f"{number}", "label": 0, "patient": f"p{number % 4}"} for number in range(9)]
    held_out = [{item["patient"] for item in split_images(items, fold=fold)[1]} for fold in range(4)]
    assert sorted(map(list, held_out)) == [["p0"], ["p1"], ["p2"], ["p3"]]


def test_a_split_does_not_depend_on_the_order():
    items = [{"name": f"{number:02d}", "label": number % 2} for number in range(10)]
    assert split_images(items[::-1], fold=1) == split_images(items, fold=1)


@pytest.mark.parametrize(
    ("fold", "line"),
    [
        (5, "fold must be one of 0 to 4 or 'all', got 5"),
        (0, "1 image can't be split into folds: fold='all' trains and validates on the same"),
    ],
)
def test_a_fold_that_is_not_there(fold, line):
    items = [{"name": str(number), "label": 0} for number in range(1 if fold == 0 else 9)]
    with pytest.raises(ValueError) as caught:
        split_images(items, fold=fold)
    assert str(caught.value) == line
