"""Whole plans of the curricula, against the authors' stages and over the ten Decathlon tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_patchgrow.schedules import CURRICULA, GrowthSchedule, Stage
from monai_patchgrow.schedules.curricula import find_curriculum

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "growth_golden.json").read_text())["tasks"]
GOLDEN_CURRICULA = ("pgps", "pgps_plus", "efficiency", "performance")

# Full patch, total stride and batch size of nnU-Net v2's 3d_fullres plans (AutoNNUnet, commit 7c9d676).
DECATHLON = {
    "Task01_BrainTumour": ((128, 128, 128), (32, 32, 32), 2),
    "Task02_Heart": ((80, 192, 160), (16, 32, 32), 2),
    "Task03_Liver": ((128, 128, 128), (32, 32, 32), 2),
    "Task04_Hippocampus": ((40, 56, 40), (8, 8, 8), 9),
    "Task05_Prostate": ((20, 320, 256), (4, 64, 64), 2),
    "Task06_Lung": ((80, 192, 160), (16, 32, 32), 2),
    "Task07_Pancreas": ((40, 224, 224), (8, 32, 32), 2),
    "Task08_HepaticVessel": ((64, 192, 192), (16, 32, 32), 2),
    "Task09_Spleen": ((64, 192, 160), (16, 32, 32), 2),
    "Task10_Colon": ((56, 192, 192), (8, 32, 32), 2),
}


def _as_golden(schedule, *, mirrored=False):
    step = -1 if mirrored else 1
    return {
        "patch_sizes": [list(stage.patch_size[::step]) for stage in schedule.stages],
        "batch_sizes": [stage.batch_size for stage in schedule.stages],
        "epochs": [stage.num_epochs for stage in schedule.stages],
    }


@pytest.mark.parametrize("curriculum", GOLDEN_CURRICULA)
@pytest.mark.parametrize("task", GOLDEN)
def test_stages_are_the_authors(task, curriculum):
    golden = GOLDEN[task]
    schedule = GrowthSchedule.plan(
        patch_size=golden["patch_size"],
        total_stride=golden["total_stride"],
        batch_size=golden["batch_size"],
        max_epochs=golden["max_epochs"],
        curriculum=curriculum,
        axis_order=(0, 1, 2),
    )
    assert _as_golden(schedule) == golden[curriculum]


@pytest.mark.parametrize("curriculum", GOLDEN_CURRICULA)
@pytest.mark.parametrize("task", GOLDEN)
def test_stages_are_the_authors_mirrored_for_nifti_arrays(task, curriculum):
    golden = GOLDEN[task]
    schedule = GrowthSchedule.plan(
        patch_size=golden["patch_size"][::-1],
        total_stride=golden["total_stride"][::-1],
        batch_size=golden["batch_size"],
        max_epochs=golden["max_epochs"],
        curriculum=curriculum,
        axis_order=[2, 1, 0],
    )
    assert _as_golden(schedule, mirrored=True) == golden[curriculum]


def test_golden_file_covers_what_it_says():
    assert list(GOLDEN) == ["Task04_Hippocampus", "Task05_Prostate", "Task09_Spleen"]
    assert all(set(GOLDEN_CURRICULA) <= set(golden) for golden in GOLDEN.values())


@pytest.mark.parametrize(
    ("curriculum", "lowest", "highest"),
    [
        ("constant", 1.0, 1.0),
        ("efficiency", 0.27, 0.34),
        ("pgps", 0.33, 0.38),
        ("random", 0.33, 0.38),
        ("performance", 0.94, 0.98),
    ],
)
@pytest.mark.parametrize("task", DECATHLON)
def test_relative_voxels_of_the_decathlon(task, curriculum, lowest, highest):
    patch_size, total_stride, batch_size = DECATHLON[task]
    schedule = GrowthSchedule.plan(
        patch_size=patch_size,
        total_stride=total_stride,
        batch_size=batch_size,
        max_epochs=1000,
        curriculum=curriculum,
    )
    assert lowest <= round(schedule.relative_voxels, 2) <= highest


@pytest.mark.parametrize("curriculum", CURRICULA)
def test_full_patch_equal_to_the_smallest_is_one_stage(curriculum):
    schedule = GrowthSchedule.plan(
        patch_size=(8, 8, 8), total_stride=(8, 8, 8), batch_size=9, max_epochs=1000, curriculum=curriculum
    )
    assert schedule.stages == (Stage((8, 8, 8), 9, 1, 1000),)
    assert schedule.relative_voxels == 1.0


@pytest.mark.parametrize("curriculum", CURRICULA)
@pytest.mark.parametrize(("patch_size", "total_stride"), [((64,), (8,)), ((64, 48), (8, 16))])
def test_every_curriculum_ends_on_the_full_patch_in_1d_and_2d(curriculum, patch_size, total_stride):
    schedule = GrowthSchedule.plan(
        patch_size=patch_size, total_stride=total_stride, batch_size=9, max_epochs=1000, curriculum=curriculum
    )
    assert schedule.stages[-1].patch_size == patch_size
    assert schedule.stages[-1].last_epoch == 1000


def test_unknown_curriculum_names_the_known_and_the_nearest():
    with pytest.raises(ValueError) as error:
        find_curriculum("Eficiency")
    assert str(error.value) == (
        "curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random, "
        "got 'Eficiency': did you mean 'efficiency'?"
    )


@pytest.mark.parametrize("name", [None, ["pgps"], "x"])
def test_curriculum_like_no_other_names_the_known(name):
    with pytest.raises(ValueError, match=r"^curriculum must be one of constant, .*, random, got [^:]*$"):
        find_curriculum(name)
