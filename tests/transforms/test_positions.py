"""Patch positions: the foreground's turns, and starts that keep patches in the volume."""

import numpy as np
import pytest

from monai_patchgrow.transforms.positions import draw_starts, foreground_turns

SHAPE = (12, 10, 9)


def draw(count=2000, *, patch_size=(4, 3, 3), locations=(), foreground=False, shape=SHAPE, seed=0):
    return draw_starts(
        np.random.RandomState(seed),
        shape=shape,
        patch_size=patch_size,
        class_locations=[np.array(some, dtype=np.int64) for some in locations],
        on_foreground=np.full(count, foreground),
    )


def flat(*voxel):
    return int(np.ravel_multi_index(voxel, SHAPE))


# turns


@pytest.mark.parametrize(("fraction", "turns"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_share_of_turns(fraction, turns):
    assert foreground_turns(8, fraction=fraction, phase=0.0).sum() == turns


def test_turns_go_on_in_the_next_volume():
    volumes = [foreground_turns(3, fraction=0.5, phase=3 * number * 0.5) for number in range(4)]
    assert np.concatenate(volumes).tolist() == [False, True] * 6


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.5, 0.999])
def test_any_phase_gives_half_of_an_even_count(phase):
    assert foreground_turns(10, fraction=0.5, phase=phase).sum() == 5


# starts


def test_a_foreground_patch_is_centred_on_its_voxel():
    starts = draw(5, locations=[[flat(6, 5, 4)]], foreground=True)
    assert starts.tolist() == [[4, 4, 3]] * 5


def test_a_foreground_patch_at_the_border_stays_in_the_volume():
    starts = draw(1, locations=[[flat(0, 9, 8)]], foreground=True)
    assert starts.tolist() == [[0, 7, 6]]


def test_every_legal_start_is_reached_and_no_other():
    starts = draw(20_000)
    assert [sorted(set(axis)) for axis in starts.T.tolist()] == [list(range(9)), list(range(8)), list(range(7))]


def test_without_foreground_starts_are_uniform():
    assert (draw(50, foreground=True) == draw(50, foreground=False)).all()
    assert (draw(50, locations=[[], []], foreground=True) == draw(50, foreground=False)).all()


def test_a_volume_smaller_than_the_patch_is_centred_in_it():
    starts = draw(3, patch_size=(17, 10, 10), locations=[[flat(6, 5, 4)]], foreground=True)
    assert starts.tolist() == [[-3, 0, -1]] * 3


def test_same_random_state_same_starts():
    assert (draw(locations=[[5]], foreground=True) == draw(locations=[[5]], foreground=True)).all()
    assert (draw(seed=1) != draw(seed=2)).any()


def test_2d():
    starts = draw_starts(
        np.random.RandomState(0),
        shape=(6, 8),
        patch_size=(2, 2),
        class_locations=[np.array([2 * 8 + 3])],
        on_foreground=np.array([True]),
    )
    assert starts.tolist() == [[1, 2]]


# a volume that is annotated in part


def draw_annotated(on_foreground, annotated, locations=()):
    return draw_starts(
        np.random.RandomState(0),
        shape=SHAPE,
        patch_size=(4, 3, 3),
        class_locations=[np.array(some, dtype=np.int64) for some in locations],
        on_foreground=np.array(on_foreground),
        annotated=np.array(annotated, dtype=np.int64),
    )


def test_patches_that_are_not_on_foreground_lie_on_annotated_voxels():
    starts = draw_annotated([True, False, False], [flat(2, 5, 4)], locations=[[flat(6, 5, 4)]])
    assert starts.tolist() == [[4, 4, 3], [0, 4, 3], [0, 4, 3]]


def test_without_foreground_all_patches_lie_on_annotated_voxels():
    assert draw_annotated([True, False], [flat(2, 5, 4)], locations=[[]]).tolist() == [[0, 4, 3]] * 2


def test_without_an_annotated_voxel_patches_lie_anywhere():
    starts = draw_annotated([False] * 500, [])
    assert len({tuple(start) for start in starts.tolist()}) > 100
