"""Patch sizes of the curricula, and which sizes are legal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_patchgrow.schedules.arguments import parse_int, parse_sizes
from monai_patchgrow.schedules.growth import (
    axes_in_turn,
    check_growth,
    check_patch_size,
    full_patch_only,
    nearest_legal_sizes,
    smallest_axis_first,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "data_files" / "growth_golden.json").read_text())["tasks"]
GROWTH = {"pgps": axes_in_turn, "efficiency": smallest_axis_first}


def _mirrored(sizes):
    return tuple(reversed(sizes))


@pytest.mark.parametrize("curriculum", GROWTH)
@pytest.mark.parametrize("task", GOLDEN)
def test_sizes_are_the_authors(task, curriculum):
    plan = GOLDEN[task]
    sizes = GROWTH[curriculum](tuple(plan["patch_size"]), tuple(plan["total_stride"]))
    assert [list(size) for size in sizes] == plan[curriculum]["patch_sizes"]


@pytest.mark.parametrize("curriculum", GROWTH)
@pytest.mark.parametrize("task", GOLDEN)
def test_sizes_are_the_authors_mirrored_for_nifti_arrays(task, curriculum):
    plan = GOLDEN[task]
    sizes = GROWTH[curriculum](_mirrored(plan["patch_size"]), _mirrored(plan["total_stride"]), axis_order=(2, 1, 0))
    assert [list(_mirrored(size)) for size in sizes] == plan[curriculum]["patch_sizes"]


def test_turn_in_2d_is_axis_1_then_0():
    assert axes_in_turn((32, 24), (8, 8)) == ((16, 8), (16, 16), (24, 16), (24, 24), (32, 24))


def test_turn_in_1d():
    assert axes_in_turn((32,), (8,)) == ((16,), (24,), (32,))


def test_turn_under_a_rotated_axis_order():
    assert axes_in_turn((24, 24, 24), (8, 8, 8), axis_order=(1, 2, 0)) == (
        (8, 16, 8),
        (8, 16, 16),
        (16, 16, 16),
        (16, 24, 16),
        (16, 24, 24),
        (24, 24, 24),
    )


def test_first_patch_is_not_doubled_above_the_full_size():
    assert axes_in_turn((8, 24), (8, 8)) == ((8, 8), (8, 16), (8, 24))


def test_doubling_follows_the_axis_order():
    assert axes_in_turn((24, 16), (8, 8), axis_order=(1, 0))[0] == (8, 16)


def test_smallest_axis_first_in_2d():
    assert smallest_axis_first((16, 32), (8, 16)) == ((8, 16), (16, 16), (16, 32))


def test_smallest_axis_first_in_1d():
    assert smallest_axis_first((24,), (8,)) == ((8,), (16,), (24,))


def test_tie_goes_to_the_first_axis():
    assert smallest_axis_first((16, 16), (8, 8)) == ((8, 8), (16, 8), (16, 16))


def test_tie_goes_to_the_first_in_axis_order():
    assert smallest_axis_first((16, 16), (8, 8), axis_order=(1, 0)) == ((8, 8), (8, 16), (16, 16))


def test_tie_in_3d_follows_a_rotated_axis_order():
    sizes = smallest_axis_first((16, 16, 16), (8, 8, 8), axis_order=(1, 2, 0))
    assert sizes == ((8, 8, 8), (8, 16, 8), (8, 16, 16), (16, 16, 16))


def test_smallest_patch_replaces_the_doubled_first_patch():
    sizes = axes_in_turn((32, 32), (8, 8), smallest_patch=(16, 24))
    assert sizes == ((16, 24), (16, 32), (24, 32), (32, 32))


def test_smallest_patch_may_be_the_stride_itself():
    assert axes_in_turn((16, 16), (8, 8), smallest_patch=(8, 8)) == ((8, 8), (8, 16), (16, 16))


def test_smallest_axis_first_grows_from_smallest_patch():
    sizes = smallest_axis_first((32, 24), (8, 8), smallest_patch=(24, 16))
    assert sizes == ((24, 16), (24, 24), (32, 24))


@pytest.mark.parametrize("grow", [full_patch_only, axes_in_turn, smallest_axis_first])
def test_full_patch_equal_to_the_smallest_is_one_size(grow):
    assert grow((8, 8, 8), (8, 8, 8)) == ((8, 8, 8),)


@pytest.mark.parametrize("grow", [full_patch_only, axes_in_turn, smallest_axis_first])
def test_smallest_patch_equal_to_the_full_one_is_one_size(grow):
    assert grow((24, 16), (8, 8), smallest_patch=(24, 16)) == ((24, 16),)


@pytest.mark.parametrize("grow", [full_patch_only, axes_in_turn, smallest_axis_first])
def test_every_rule_refuses_an_illegal_size(grow):
    with pytest.raises(ValueError, match="got 20 on axis 1"):
        grow((16, 20), (8, 8))


def test_full_patch_only_ignores_smallest_patch():
    assert full_patch_only((24, 16), (8, 8), smallest_patch=(8, 8)) == ((24, 16),)


@pytest.mark.parametrize(
    ("patch_size", "fault"),
    [
        ((20, 32, 16), "got 20 on axis 0 (stride 8): nearest are 16 and 24"),
        ((16, 50, 16), "got 50 on axis 1 (stride 16): nearest are 48 and 64"),
        ((16, 32, 3), "got 3 on axis 2 (stride 4): nearest is 4"),
        (
            (20, 8, 16),
            "got 20 on axis 0 (stride 8): nearest are 16 and 24; 8 on axis 1 (stride 16): nearest is 16",
        ),
    ],
)
def test_illegal_size_names_axis_and_nearest(patch_size, fault):
    with pytest.raises(ValueError) as error:
        check_patch_size(patch_size, (8, 16, 4))
    assert str(error.value) == f"patch_size must be a multiple of total_stride on every axis, {fault}"


def test_legal_size_passes():
    check_patch_size((8, 32, 12), (8, 16, 4))


def test_illegal_smallest_patch_is_named():
    with pytest.raises(ValueError) as error:
        check_growth((40, 40), (8, 8), smallest_patch=(16, 12))
    assert str(error.value) == (
        "smallest_patch must be a multiple of total_stride on every axis, "
        "got 12 on axis 1 (stride 8): nearest are 8 and 16"
    )


def test_smallest_patch_above_the_full_one_is_refused():
    with pytest.raises(ValueError) as error:
        check_growth((40, 40), (8, 8), smallest_patch=(16, 48))
    assert str(error.value) == (
        "smallest_patch must not be larger than patch_size on any axis, got 48 on axis 1 (patch_size 40)"
    )


@pytest.mark.parametrize(
    ("total_stride", "smallest_patch", "message"),
    [
        ((8, 8), None, "total_stride must have as many axes as patch_size, got 2 (8, 8) for 3 (40, 40, 40)"),
        (
            (8, 8, 8),
            (8,),
            "smallest_patch must have as many axes as patch_size, got 1 (8,) for 3 (40, 40, 40)",
        ),
    ],
)
def test_lengths_must_agree(total_stride, smallest_patch, message):
    with pytest.raises(ValueError) as error:
        check_growth((40, 40, 40), total_stride, smallest_patch=smallest_patch)
    assert str(error.value) == message


@pytest.mark.parametrize("axis_order", [(0,), (0, 0), (1, 2), (0, 1, 2), ()])
def test_axis_order_must_be_a_permutation(axis_order):
    with pytest.raises(ValueError) as error:
        check_growth((40, 40), (8, 8), axis_order=axis_order)
    assert str(error.value) == f"axis_order must be a permutation of the array axes (0, 1), got {axis_order}"


@pytest.mark.parametrize(
    ("size", "stride", "nearest"),
    [(50, 8, (48, 56)), (48, 8, (48,)), (5, 8, (8,)), (0, 8, (8,)), (9, 8, (8, 16)), (3, 1, (3,))],
)
def test_nearest_legal_sizes(size, stride, nearest):
    assert nearest_legal_sizes(size, stride) == nearest


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (40, "patch_size must hold one integer per spatial axis, like (40, 56, 40), got 40"),
        ("40,56", "patch_size must hold one integer per spatial axis, like (40, 56, 40), got '40,56'"),
        ([], "patch_size must hold one integer per spatial axis, like (40, 56, 40), got []"),
        ([8, 8, 8, 8], "patch_size must have 1 to 3 axes, got 4: (8, 8, 8, 8)"),
        ([8, 8.5], "patch_size on axis 1 must be an integer of at least 1, got 8.5"),
        ([8, True], "patch_size on axis 1 must be an integer of at least 1, got True"),
        ([0, 8], "patch_size on axis 0 must be an integer of at least 1, got 0"),
        ([8, -8], "patch_size on axis 1 must be an integer of at least 1, got -8"),
        ([8, "8"], "patch_size on axis 1 must be an integer of at least 1, got '8'"),
    ],
)
def test_what_is_no_size_is_refused(sizes, message):
    with pytest.raises(ValueError) as error:
        parse_sizes(sizes, name="patch_size")
    assert str(error.value) == message


def test_sizes_may_come_from_numpy():
    numpy = pytest.importorskip("numpy")
    sizes = parse_sizes(numpy.array([40, 56]), name="patch_size")
    assert sizes == (40, 56)
    assert all(type(size) is int for size in sizes)


def test_integer_above_its_maximum_is_refused():
    with pytest.raises(ValueError, match=r"^epoch must be an integer from 1 to 9, got 10$"):
        parse_int(10, name="epoch", maximum=9)
