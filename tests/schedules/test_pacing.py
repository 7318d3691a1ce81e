"""Which epochs belong to which stage."""

from __future__ import annotations

from itertools import pairwise

import pytest

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.schedules.pacing import Pacing, kept_stages


def lengths(num_stages=4, *, max_epochs, **pacing):
    return [length for _, length in Pacing(**pacing).spans(num_stages, max_epochs=max_epochs)]


def test_last_stage_takes_the_remainder():
    assert Pacing().spans(4, max_epochs=11) == ((1, 2), (3, 2), (5, 2), (7, 5))


def test_one_stage_takes_all_epochs():
    assert Pacing().spans(1, max_epochs=7) == ((1, 7),)
    assert Pacing(full_patch_share=0.2).spans(1, max_epochs=7) == ((1, 7),)


def test_as_many_stages_as_epochs():
    assert Pacing().spans(3, max_epochs=3) == ((1, 1), (2, 1), (3, 1))


def test_more_stages_than_epochs_have_no_spans():
    with pytest.raises(ValueError, match="every stage needs an epoch, got 4 stages for 3 epochs"):
        Pacing().spans(4, max_epochs=3)


@pytest.mark.filterwarnings("ignore:max_epochs")
@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.4, [200, 200, 200, 400]), (0.1, [300, 300, 300, 100]), (0.29, [237, 236, 237, 290]), (0.9999, [1000])],
)
def test_full_patch_has_its_share_of_the_epochs(share, expected):
    plan = GrowthSchedule.plan(
        patch_size=[32],
        total_stride=[8],
        batch_size=1,
        max_epochs=1000,
        curriculum="efficiency",
        full_patch_share=share,
    )
    assert [stage.num_epochs for stage in plan.stages] == expected


def test_a_share_is_the_decimal_that_was_written():
    # In binary 0.285 * 1000 is 284.99999999999994.
    assert lengths(max_epochs=1000, full_patch_share=0.285)[-1] == 285


@pytest.mark.filterwarnings("ignore:max_epochs")  # of stages that are merged
@pytest.mark.parametrize("share", [None, 0.01, 0.1, 1 / 3, 0.5, 0.999, 1])
def test_no_epoch_is_lost_or_counted_twice(share):
    for max_epochs in range(1, 60):
        plan = GrowthSchedule.plan(
            patch_size=[8 * 7, 8 * 2],
            total_stride=[8, 8],
            batch_size=2,
            max_epochs=max_epochs,
            full_patch_share=share,
        )
        assert plan.stages[-1].patch_size == (56, 16)
        assert min(stage.num_epochs for stage in plan.stages) >= 1
        assert [stage.first_epoch for stage in plan.stages[1:]] == [stage.last_epoch + 1 for stage in plan.stages[:-1]]
        assert (plan.stages[0].first_epoch, plan.stages[-1].last_epoch) == (1, max_epochs)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, True, "0.2", float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="full_patch_share must be above 0 and up to 1"):
        Pacing(full_patch_share=share)


def test_a_share_that_leaves_too_few_epochs_merges_stages_and_says_so():
    with pytest.warns(UserWarning) as warnings:
        plan = GrowthSchedule.plan(patch_size=[40], total_stride=[8], batch_size=1, max_epochs=10, full_patch_share=0.8)
    assert [stage.patch_size for stage in plan.stages] == [(8,), (24,), (40,)]
    assert [str(warning.message) for warning in warnings] == [
        "max_epochs=10 and full_patch_share=0.8 leave 2 epochs to the 4 stages of 'efficiency' before the full patch: "
        "merged evenly into 2"
    ]


def test_a_plan_says_how_it_is_paced():
    plan = GrowthSchedule.plan(patch_size=[16], total_stride=[8], batch_size=4, max_epochs=5, full_patch_share=0.4)
    assert str(plan).splitlines()[0].endswith("5 epochs, full_patch_share 0.4")


@pytest.mark.parametrize(
    ("num_stages", "max_epochs", "kept"),
    [
        (15, 15, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)),
        (15, 14, (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14)),
        (15, 3, (0, 7, 14)),
        (15, 2, (0, 14)),
        (15, 1, (14,)),
        (2, 1, (1,)),
        (1, 1, (0,)),
        (4, 1000, (0, 1, 2, 3)),
    ],
)
def test_stages_that_get_epochs(num_stages, max_epochs, kept):
    assert kept_stages(num_stages=num_stages, max_epochs=max_epochs) == kept


@pytest.mark.parametrize("num_stages", range(3, 40))
def test_merged_stages_are_distinct_and_keep_first_and_last(num_stages):
    for max_epochs in range(2, num_stages):
        kept = kept_stages(num_stages=num_stages, max_epochs=max_epochs)
        assert len(set(kept)) == max_epochs
        assert list(kept) == sorted(kept)
        assert (kept[0], kept[-1]) == (0, num_stages - 1)


@pytest.mark.parametrize("num_stages", range(3, 40))
def test_merged_stages_are_evenly_spread(num_stages):
    for max_epochs in range(2, num_stages):
        kept = kept_stages(num_stages=num_stages, max_epochs=max_epochs)
        gaps = [later - earlier for earlier, later in pairwise(kept)]
        assert max(gaps) - min(gaps) <= 1
