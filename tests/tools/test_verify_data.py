from __future__ import annotations

import shutil

import pytest

from monai_patchgrow.data import DataError, write_phantom_like
from monai_patchgrow.tools.verify_data import verify_data


def test_summary_of_the_phantom(phantom_task):
    assert verify_data(phantom_task).splitlines() == [
        "Phantom: 10 cases, no problems found",
        "channels  0 synthetic",
        "labels    0 background, 1 head, 2 tail",
        "shape     31 x 38 x 27 to 34 x 42 x 30 voxels",
        "spacing   1 x 1 x 1.5 mm",
    ]


def test_summary_of_task04(task04):
    lines = verify_data(str(task04)).splitlines()
    assert lines[0] == "Hippocampus: 200 cases, 2 warnings"
    assert [line.split()[:2] for line in lines[3:5]] == [["warning", "label-float"]] * 2
    assert lines[-4:] == [
        "channels  0 MRI",
        "labels    0 background, 1 Anterior, 2 Posterior",
        "shape     31 x 40 x 24 to 43 x 58 x 47 voxels",
        "spacing   1 x 1 x 1 mm",
    ]


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="absent: no such folder"):
        verify_data(tmp_path / "absent")


def test_damaged_file(phantom_task, tmp_path):
    folder = shutil.copytree(phantom_task, tmp_path / "task")
    path = folder / "imagesTr" / "phantom_006.nii.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"phantom_006\.nii\.gz: truncated or corrupt"):
        verify_data(folder)


def test_summary_of_a_folder_in_nnunet_s_layout(tmp_path):
    labels = {0: "background", 1: "PZ", 2: "TZ"}
    kind = {"channels": ["T2", "ADC"], "labels": labels, "shape": (16, 16, 10), "spacing": (0.6, 0.6, 3.6)}
    assert verify_data(write_phantom_like(tmp_path / "task", num_cases=2, layout="nnunet", **kind)).splitlines() == [
        "Phantom: 2 cases, no problems found",
        "channels  0 T2, 1 ADC",
        "labels    0 background, 1 PZ, 2 TZ",
        "shape     16 x 16 x 10 voxels",
        "spacing   0.6 x 0.6 x 3.6 mm",
    ]
