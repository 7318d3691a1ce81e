"""Patches per batch at each stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_patchgrow.schedules.batching import fill_voxel_budget, keep_batch_size, plan_backwards

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "growth_golden.json").read_text())["tasks"]
BATCHING = {
    "pgps": keep_batch_size,
    "pgps_plus": plan_backwards,
    "efficiency": keep_batch_size,
    "performance": fill_voxel_budget,
}


@pytest.mark.parametrize("curriculum", BATCHING)
@pytest.mark.parametrize("task", GOLDEN)
def test_batch_sizes_are_the_authors(task, curriculum):
    stages = GOLDEN[task][curriculum]
    batches = BATCHING[curriculum](stages["patch_sizes"], batch_size=GOLDEN[task]["batch_size"])
    assert list(batches) == stages["batch_sizes"]


@pytest.mark.parametrize("batching", [keep_batch_size, plan_backwards, fill_voxel_budget])
def test_one_stage_has_the_full_patch_batch(batching):
    assert batching([(8, 8)], batch_size=5) == (5,)


def test_pgps_plus_rounds_down_at_every_step():
    assert plan_backwards([(8,), (24,), (40,)], batch_size=1) == (9, 3, 2)


def test_pgps_plus_trains_the_full_patch_with_two_where_one_was_asked():
    assert plan_backwards([(8,), (16,)], batch_size=1) == (4, 2)


def test_pgps_plus_never_goes_below_the_full_patch_batch():
    assert plan_backwards([(8,), (16,), (24,)], batch_size=4) == (6, 4, 4)


def test_performance_rounds_down():
    assert fill_voxel_budget([(8,), (24,), (40,)], batch_size=1) == (5, 1, 1)
