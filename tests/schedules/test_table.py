"""The stage table."""

from __future__ import annotations

import pytest

from monai_patchgrow.schedules import GrowthSchedule

HIPPOCAMPUS = {"patch_size": (40, 56, 40), "total_stride": (8, 8, 8), "batch_size": 9, "max_epochs": 1000}


def _plan(**changes):
    return GrowthSchedule.plan(**{**HIPPOCAMPUS, **changes})


def test_table_is_aligned():
    schedule = _plan(patch_size=(16, 8, 8), batch_size=2, max_epochs=25, curriculum="performance")
    assert str(schedule).splitlines() == [
        "performance: full patch 16x8x8, total stride 8x8x8, batch size 2, 25 epochs",
        "stage  patch size  patches per batch  first-last epoch  epochs  voxels per iteration  share of full",
        "    1       8x8x8                  4              1-12      12                 2,048         100.0%",
        "    2      16x8x8                  2             13-25      13                 2,048         100.0%",
        "1.00 of constant's voxels",
    ]


def test_table_says_that_stages_were_merged():
    with pytest.warns(UserWarning) as record:
        schedule = _plan(max_epochs=14)
    assert str(record[0].message) in str(schedule).splitlines()


def test_table_of_random_lists_what_is_drawn():
    lines = str(_plan(curriculum="random")).splitlines()
    assert lines[2].split() == ["any", "16x8x8", "9", "1-1000", "1000", "9,216", "1.1%"]
    assert lines[-2] == "every iteration draws one of these 14 sizes uniformly"
    assert lines[-1] == "0.35 of constant's voxels"
