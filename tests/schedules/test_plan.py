"""GrowthSchedule: whole plans, their lookups and their table."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from monai_patchgrow.schedules import CURRICULA, GrowthSchedule, Stage

HIPPOCAMPUS = {"patch_size": (40, 56, 40), "total_stride": (8, 8, 8), "batch_size": 9, "max_epochs": 1000}


def _plan(**changes):
    return GrowthSchedule.plan(**{**HIPPOCAMPUS, **changes})


def test_constant_is_one_stage_over_all_epochs():
    assert _plan(curriculum="constant").stages == (Stage((40, 56, 40), 9, 1, 1000),)


def test_epochs_of_neighbouring_stages_touch():
    stages = _plan(curriculum="pgps").stages
    assert (stages[0].first_epoch, stages[0].last_epoch) == (1, 71)
    assert (stages[1].first_epoch, stages[1].last_epoch) == (72, 142)
    assert (stages[-1].first_epoch, stages[-1].last_epoch) == (924, 1000)


@pytest.mark.parametrize(
    ("epoch", "size"),
    [(1, (8, 8, 8)), (66, (8, 8, 8)), (67, (16, 8, 8)), (924, (40, 48, 40)), (925, (40, 56, 40))],
)
def test_stage_at_an_epoch(epoch, size):
    assert _plan().stage_at(epoch).patch_size == size


def test_every_epoch_has_its_stage():
    schedule = _plan()
    assert Counter(schedule.stage_at(epoch) for epoch in range(1, 1001)) == {
        stage: stage.num_epochs for stage in schedule.stages
    }


@pytest.mark.parametrize("epoch", [0, -1, 1001, 2.0, True])
def test_epoch_outside_of_the_plan_is_refused(epoch):
    with pytest.raises(ValueError, match=f"^epoch must be an integer from 1 to 1000, got {epoch}$"):
        _plan().stage_at(epoch)


def test_plan_in_2d():
    schedule = _plan(patch_size=(16, 24), total_stride=(8, 8), max_epochs=9, curriculum="performance")
    assert schedule.stages == (
        Stage((8, 8), 54, 1, 2),
        Stage((16, 8), 27, 3, 2),
        Stage((16, 16), 13, 5, 2),
        Stage((16, 24), 9, 7, 3),
    )


def test_fourteen_epochs_for_fifteen_stages_leave_out_one_in_the_middle():
    with pytest.warns(UserWarning, match="max_epochs=14 is fewer than the 15 stages of 'efficiency'"):
        schedule = _plan(max_epochs=14)
    assert [stage.num_epochs for stage in schedule.stages] == [1] * 14
    assert (32, 24, 24) not in schedule.candidates
    assert schedule.candidates[0] == (8, 8, 8)
    assert schedule.candidates[-1] == (40, 56, 40)


def test_two_epochs_for_fifteen_stages_keep_first_and_last():
    with pytest.warns(UserWarning, match="merged evenly into 2, one epoch each"):
        schedule = _plan(max_epochs=2, curriculum="performance")
    assert schedule.stages == (Stage((8, 8, 8), 1575, 1, 1), Stage((40, 56, 40), 9, 2, 1))


def test_one_epoch_for_fifteen_stages_is_the_full_patch():
    with pytest.warns(UserWarning, match="merged evenly into 1, one epoch each"):
        schedule = _plan(max_epochs=1)
    assert schedule.stages == (Stage((40, 56, 40), 9, 1, 1),)


def test_merging_is_said_where_the_plan_was_made():
    with pytest.warns(UserWarning) as record:
        GrowthSchedule.plan(patch_size=(24,), total_stride=(8,), batch_size=1, max_epochs=2)
    assert record[0].filename == __file__


@pytest.mark.parametrize("curriculum", ["constant", "random"])
def test_one_epoch_merges_nothing_where_there_is_one_stage(curriculum):
    schedule = _plan(max_epochs=1, curriculum=curriculum)
    assert not schedule.is_merged
    assert schedule.stages == (Stage((40, 56, 40), 9, 1, 1),)


def test_smallest_patch_is_the_first_stage():
    schedule = _plan(smallest_patch=[16, 16, 16], curriculum="pgps")
    assert [stage.patch_size for stage in schedule.stages[:3]] == [(16, 16, 16), (16, 24, 16), (16, 24, 24)]


def test_json_lists_plan_the_same():
    assert _plan(patch_size=[40, 56, 40], total_stride=[8, 8, 8], axis_order=[0, 1, 2]) == _plan()


def test_numpy_integers_plan_the_same():
    numpy = pytest.importorskip("numpy")
    schedule = _plan(patch_size=numpy.array([40, 56, 40]), batch_size=numpy.int64(9), max_epochs=numpy.int32(1000))
    assert repr(schedule) == repr(_plan())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"patch_size": (40, 50, 40)},
            (
                "patch_size must be a multiple of total_stride on every axis, got 50 on axis 1 (stride 8): "
                "nearest are 48 and 56"
            ),
        ),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batch_size": True}, "batch_size must be an integer of at least 1, got True"),
        ({"max_epochs": 0}, "max_epochs must be an integer of at least 1, got 0"),
        ({"max_epochs": 10.0}, "max_epochs must be an integer of at least 1, got 10.0"),
        ({"total_stride": (8, 0, 8)}, "total_stride on axis 1 must be an integer of at least 1, got 0"),
        ({"axis_order": (0, 1, -1)}, "axis_order on axis 2 must be an integer of at least 0, got -1"),
        (
            {"curriculum": "Eficiency"},
            (
                "curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random, "
                "got 'Eficiency': did you mean 'efficiency'?"
            ),
        ),
    ],
)
def test_wrong_input_gets_one_line(changes, message):
    with pytest.raises(ValueError) as error:
        _plan(**changes)
    assert str(error.value) == message


def test_random_draws_from_the_sizes_of_pgps():
    schedule = _plan(curriculum="random")
    assert schedule.is_random
    assert len(schedule.candidates) == 14
    assert schedule.candidates == _plan(curriculum="pgps").candidates


def test_random_is_one_stage_at_the_full_patch():
    assert _plan(curriculum="random").stages == (Stage((40, 56, 40), 9, 1, 1000),)


def test_random_draws_uniformly():
    schedule = _plan(patch_size=(24, 16), total_stride=(8, 8), curriculum="random")
    drawn = Counter(schedule.patch_size_at(epoch=1, iteration=i, seed=7) for i in range(1, 6001))
    assert set(drawn) == {(16, 8), (16, 16), (24, 16)}
    assert all(1850 < count < 2150 for count in drawn.values())


def test_random_draws_the_same_on_every_machine():
    schedule = _plan(curriculum="random")
    drawn = [schedule.patch_size_at(epoch=1, iteration=i, seed=42) for i in (1, 2, 3, 4)]
    assert drawn == [(16, 16, 16), (40, 40, 40), (24, 16, 16), (40, 40, 40)]


def test_random_draws_otherwise_with_another_seed():
    schedule = _plan(curriculum="random")
    runs = {tuple(schedule.patch_size_at(epoch=1, iteration=i, seed=seed) for i in range(1, 9)) for seed in range(20)}
    assert len(runs) == 20


@pytest.mark.parametrize("curriculum", ["constant", "pgps", "efficiency", "performance"])
def test_other_curricula_have_the_size_of_the_stage(curriculum):
    schedule = _plan(curriculum=curriculum)
    assert not schedule.is_random
    for epoch in (1, 500, 1000):
        assert schedule.patch_size_at(epoch=epoch, iteration=3, seed=5) == schedule.stage_at(epoch).patch_size


@pytest.mark.parametrize("curriculum", CURRICULA)
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"epoch": 1001, "iteration": 1, "seed": 0}, "epoch"),
        ({"epoch": 1, "iteration": 0, "seed": 0}, "iteration"),
        ({"epoch": 1, "iteration": 1, "seed": None}, "seed"),
    ],
)
def test_size_of_no_iteration_is_refused(curriculum, arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must be an integer"):
        _plan(curriculum=curriculum).patch_size_at(**arguments)


def test_candidates_are_the_sizes_of_the_stages():
    schedule = _plan(curriculum="efficiency")
    assert schedule.candidates == tuple(stage.patch_size for stage in schedule.stages)


@pytest.mark.parametrize("curriculum", CURRICULA)
def test_copies_are_equal_and_hash_alike(curriculum):
    schedule = _plan(curriculum=curriculum)
    for twin in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert twin == schedule
        assert hash(twin) == hash(schedule)


def test_other_plans_differ():
    assert len({_plan(curriculum=curriculum) for curriculum in CURRICULA}) == 6


def test_schedule_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _plan().batch_size = 2


def test_planning_imports_neither_torch_nor_numpy():
    code = (
        "import sys, monai_patchgrow.schedules as s; "
        "s.GrowthSchedule.plan(patch_size=[16], total_stride=[8], batch_size=1, max_epochs=9); "
        "print([name for name in ('torch', 'numpy', 'monai', 'ignite') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
