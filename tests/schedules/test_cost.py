"""Voxels of stages and plans."""

from __future__ import annotations

import pytest

from monai_patchgrow.schedules import GrowthSchedule, Stage
from monai_patchgrow.schedules.cost import relative_voxels, stage_voxels
from monai_patchgrow.schedules.stage import patch_voxels


def _plan(curriculum, *, max_epochs=6):
    return GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(8, 8), batch_size=4, max_epochs=max_epochs, curriculum=curriculum
    )


@pytest.mark.parametrize(("size", "voxels"), [((5,), 5), ((16, 8), 128), ((40, 56, 40), 89600)])
def test_voxels_of_a_patch(size, voxels):
    assert patch_voxels(size) == voxels


def test_voxels_of_a_stage():
    stage = Stage(patch_size=(16, 8), batch_size=4, first_epoch=3, num_epochs=5)
    assert stage_voxels(stage, iterations_per_epoch=10) == 25600


@pytest.mark.parametrize(
    ("curriculum", "voxels"),
    [("constant", 6144), ("efficiency", 3584), ("performance", 6144), ("pgps", 4608), ("random", 4608)],
)
def test_voxels_of_a_plan_over_those_of_constant(curriculum, voxels):
    assert relative_voxels(_plan(curriculum)) == pytest.approx(voxels / 6144, abs=1e-12)


def test_relative_voxels_weigh_stages_by_their_epochs():
    assert relative_voxels(_plan("efficiency", max_epochs=7)) == pytest.approx(9 / 14, abs=1e-12)
