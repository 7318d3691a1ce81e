from __future__ import annotations

from pathlib import Path

import pytest

from monai_patchgrow.data import Case, read_task, split_cases


def make_cases(count):
    return [Case(f"c{i:02d}", Path(f"{i}.nii.gz"), Path(f"{i}.nii.gz")) for i in range(count)]


def names(cases):
    return [case.name for case in cases]


def test_first_fold_of_task04(task04):
    train, validation = split_cases(read_task(task04).cases, fold=0)
    assert (len(train), len(validation)) == (160, 40)
    assert names(validation)[:5] == [
        "hippocampus_025",
        "hippocampus_039",
        "hippocampus_040",
        "hippocampus_045",
        "hippocampus_057",
    ]


# computed once with scikit-learn's KFold(5, shuffle=True, random_state=12345)
@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (0, ["c00", "c03", "c08"]),
        (1, ["c07", "c10", "c11"]),
        (2, ["c06", "c09"]),
        (3, ["c01", "c04"]),
        (4, ["c02", "c05"]),
    ],
)
def test_folds_are_scikit_learns(fold, expected):
    assert names(split_cases(make_cases(12), fold=fold)[1]) == expected


def test_folds_hold_every_case_once():
    held_out = [name for fold in range(5) for name in names(split_cases(make_cases(23), fold=fold)[1])]
    assert sorted(held_out) == names(make_cases(23))


def test_train_and_validation_are_disjoint():
    train, validation = split_cases(make_cases(23), fold=3)
    assert sorted(names(train) + names(validation)) == names(make_cases(23))


def test_order_of_the_cases_does_not_matter():
    assert split_cases(make_cases(12)[::-1], fold=1) == split_cases(make_cases(12), fold=1)


def test_fold_all_trains_and_validates_on_everything():
    train, validation = split_cases(make_cases(3), fold="all")
    assert names(train) == names(validation) == ["c00", "c01", "c02"]


@pytest.mark.parametrize("fold", [5, -1, "0", "every", None, 0.5])
def test_unknown_fold(fold):
    with pytest.raises(ValueError, match="fold must be one of 0 to 4 or 'all', got"):
        split_cases(make_cases(10), fold=fold)


def test_fewer_cases_than_folds_make_one_fold_each():
    held_out = [names(split_cases(make_cases(4), fold=fold)[1]) for fold in range(4)]
    assert sorted(held_out) == [["c00"], ["c01"], ["c02"], ["c03"]]


@pytest.mark.parametrize(
    ("count", "num_folds", "line"),
    [
        (1, 5, "1 case can't be split into folds: fold='all' trains and validates on the same"),
        (0, 5, "0 cases can't be split into folds"),
        (10, 1, "num_folds must be at least 2, got 1"),
    ],
)
def test_impossible_number_of_folds(count, num_folds, line):
    with pytest.raises(ValueError, match=line):
        split_cases(make_cases(count), fold=0, num_folds=num_folds)
