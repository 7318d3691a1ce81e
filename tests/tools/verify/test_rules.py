"""Every rule finds its fault, under its name, and all of a folder's faults are found at once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from data_faults import DECATHLON, FIRST, LABEL, NNUNET, SECOND, SLIDES, content, voxels

from monai_patchgrow.data import write_phantom_like, write_phantom_slides, write_phantom_task
from monai_patchgrow.data.tasks.rules import RULES
from monai_patchgrow.tools.verify_data import check_data

KIND = {"channels": ["T2", "ADC"], "labels": {0: "background", 1: "head"}, "shape": (12, 12, 8), "spacing": (1, 1, 2)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    write_phantom_task(folder / "decathlon", num_cases=3)
    write_phantom_like(folder / "nnunet", num_cases=3, layout="nnunet", **KIND)
    write_phantom_slides(folder / "slides", num_slides=6, size=64)
    return folder


@pytest.fixture
def copy_of(sound, tmp_path):
    return lambda layout: Path(shutil.copytree(sound / layout, tmp_path / layout))


def cases(layout, faults):
    for rule, makers in faults.items():
        for number, make in enumerate(makers):
            yield pytest.param(layout, rule, make, id=f"{layout}-{rule}-{number}")


ALL = [*cases("decathlon", DECATHLON), *cases("nnunet", NNUNET), *cases("slides", SLIDES)]


def rules_of(folder, **options):
    report = check_data(folder, num_workers=0, **options)
    json.loads(report.as_json())
    return {fault.rule for fault in report.faults}


@pytest.mark.parametrize(("layout", "rule", "make"), ALL)
def test_each_fault_is_found_by_its_rule(copy_of, layout, rule, make):
    folder = copy_of(layout)
    make(folder)
    assert rule in rules_of(folder, num_classes=6 if layout == "slides" else None)


@pytest.mark.parametrize("layout", ["decathlon", "nnunet", "slides"])
def test_sound_folders_have_no_fault(sound, layout):
    assert rules_of(sound / layout) == set()


def test_every_rule_has_its_fault():
    denied = {"file-unreadable", "split-file"}  # root may read anything, and a split is no part of a folder: see below
    assert set(RULES) - {*DECATHLON, *NNUNET, *SLIDES} == denied
    assert len(RULES) >= 40


def test_a_file_that_this_user_may_not_read(copy_of, monkeypatch):
    folder = copy_of("slides")
    monkeypatch.setattr(os, "access", lambda path, mode: "_000" not in str(path))
    assert rules_of(folder) == {"file-unreadable"}


@pytest.mark.parametrize(("layout", "name"), [("decathlon", "phantom_000"), ("slides", "phantom_0_64_000")])
def test_a_split_of_one_s_own(copy_of, layout, name, tmp_path):
    folder, file = copy_of(layout), tmp_path / "splits.csv"
    file.write_text(f"case,fold\n{name},test\n")
    assert rules_of(folder, split_file=str(file)) == {"split-file"}
    file.write_text(f"case,fold\n{name},test\n{name[:-1]}1,0\n{name[:-1]}2,3\n")
    report = check_data(folder, num_workers=0, split_file=str(file))
    left = 0 if layout == "decathlon" else 3
    assert report.summary["split"] == f"folds 0, 3 of 2 cases; held out 1, left out {left}"
    assert report.is_sound


def test_all_faults_of_a_folder_are_found_at_once(copy_of):
    folder, faults = copy_of("decathlon"), DECATHLON
    wanted = ["entry-count", "file-unlisted", "image-not-finite"]
    for rule in wanted:
        faults[rule][0](folder)
    voxels(LABEL, lambda values: values + 7)(folder)
    content(SECOND, lambda data: data[:500])(folder)
    assert rules_of(folder) == {*wanted, "label-unknown", "file-truncated"}


def test_two_faults_of_one_file_are_both_found(copy_of):
    folder = copy_of("decathlon")
    DECATHLON["image-not-finite"][0](folder)
    DECATHLON["channel-count"][0](folder)
    report = check_data(folder, num_workers=0)
    assert [(fault.rule, Path(fault.file)) for fault in report.faults] == [
        ("channel-count", folder / FIRST),
        ("image-not-finite", folder / FIRST),
    ]


def test_headers_alone(copy_of):
    folder = copy_of("decathlon")
    DECATHLON["label-grid"][0](folder)
    DECATHLON["image-not-finite"][0](folder)
    assert rules_of(folder, headers_only=True) == {"label-grid"}


def test_processes_find_what_one_finds(copy_of):
    folder = copy_of("decathlon")
    DECATHLON["label-unknown"][0](folder)
    assert check_data(folder, num_workers=2) == check_data(folder, num_workers=0)


def test_images_in_other_folders_need_no_label(copy_of):
    folder = copy_of("slides")
    shutil.copytree(folder / "train_images", folder / "train_label_masks")
    assert rules_of(folder) == set()
