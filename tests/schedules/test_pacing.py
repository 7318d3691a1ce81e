"""Which epochs belong to which stage."""

from __future__ import annotations

from itertools import pairwise

import pytest

from monai_patchgrow.schedules.pacing import epoch_spans, kept_stages


def test_last_stage_takes_the_remainder():
    assert epoch_spans(num_stages=4, max_epochs=11) == ((1, 2), (3, 2), (5, 2), (7, 5))


def test_one_stage_takes_all_epochs():
    assert epoch_spans(num_stages=1, max_epochs=7) == ((1, 7),)


def test_as_many_stages_as_epochs():
    assert epoch_spans(num_stages=3, max_epochs=3) == ((1, 1), (2, 1), (3, 1))


def test_more_stages_than_epochs_have_no_spans():
    with pytest.raises(ValueError, match="every stage needs an epoch, got 4 stages for 3 epochs"):
        epoch_spans(num_stages=4, max_epochs=3)


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
