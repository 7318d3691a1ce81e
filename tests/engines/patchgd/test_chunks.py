"""Sampling: how many cells a chunk holds and which, from (seed, epoch, iteration) alone."""

import numpy as np
import pytest

from monai_patchgrow.engines.patchgd.chunks import Sampling

AT = {"seed": 0, "epoch": 1, "iteration": 1}


@pytest.mark.parametrize(
    ("sampling", "cells", "steps"),
    [(1 / 8, 256, 8), (0.3, 10, 4), (1.0, 7, 1), (1, 7, 1), (0.1, 70, 10), (1 / 8, 9, 5), (1e-9, 6, 6)],
)
def test_default_inner_steps_visit_every_cell_once(sampling, cells, steps):
    assert Sampling(sampling).steps(cells) == steps


@pytest.mark.parametrize("cells", [1, 9, 256])
def test_inner_steps_do_not_depend_on_the_image_where_the_optimiser_steps_between_them(cells):
    assert Sampling(1 / 8, accumulation=1).steps(cells) == 8


def test_inner_steps_may_be_given():
    assert Sampling(1 / 8, inner_steps=3).steps(256) == 3


@pytest.mark.parametrize(
    ("sampling", "cells", "size"),
    [(1 / 8, 256, 32), (1 / 8, 9, 2), (0.1, 70, 7), (0.3, 10, 3), (1e-9, 256, 1), (np.float32(0.1), 70, 7)],
)
def test_cells_per_chunk(sampling, cells, size):
    assert Sampling(sampling).cells_per_chunk(cells) == size


@pytest.mark.parametrize(("accumulation", "one"), [(None, True), (3, False), (4, True), (5, True)])
def test_is_one_group_where_the_optimiser_steps_once(accumulation, one):
    assert Sampling(1 / 4, accumulation=accumulation).is_one_group(12) is one


def test_fill_visits_every_cell_once():
    chunks = Sampling(1 / 4).draw(range(10), **AT)
    assert sorted(cell for chunk in chunks.fill for cell in chunk) == list(range(10))
    assert [len(chunk) for chunk in chunks.fill] == [3, 3, 2, 2]


@pytest.mark.parametrize("from_fill", [False, True])
def test_inner_steps_visit_every_cell_before_one_comes_again(from_fill):
    inner = Sampling(1 / 4, inner_steps=8).draw(range(12), **AT, from_fill=from_fill).inner
    assert len(inner) == 8
    for half in (inner[:4], inner[4:]):
        assert sorted(cell for chunk in half for cell in chunk) == list(range(12))
    assert inner[:4] != inner[4:]


def test_inner_steps_go_on_in_a_new_order_when_the_cells_run_out():
    inner = Sampling(1 / 8, inner_steps=8).draw(range(9), **AT).inner
    assert [len(chunk) for chunk in inner] == [2, 2, 2, 2, 1, 2, 2, 2]
    assert len({cell for chunk in inner[5:] for cell in chunk}) == 6


def test_chunks_of_the_fill_come_in_another_order():
    chunks = Sampling(1 / 8).draw(range(256), **AT, from_fill=True)
    assert set(chunks.inner) == set(chunks.fill)
    assert chunks.inner != chunks.fill


def test_inner_steps_cut_an_order_of_their_own():
    chunks = Sampling(1 / 8).draw(range(256), **AT)
    assert not {frozenset(chunk) for chunk in chunks.inner} & {frozenset(chunk) for chunk in chunks.fill}


def test_only_given_cells_are_drawn():
    chunks = Sampling(1 / 2).draw([3, 8, 9], **AT)
    assert {cell for chunk in (*chunks.fill, *chunks.inner) for cell in chunk} == {3, 8, 9}


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 2}, {"iteration": 2}])
def test_draws_depend_on_seed_epoch_and_iteration_alone(other):
    draw = Sampling(1 / 8).draw
    assert draw(range(64), **AT) == draw(range(64), **AT)
    assert draw(range(64), **{**AT, **other}).fill != draw(range(64), **AT).fill
    assert draw(range(64), **{**AT, **other}).inner != draw(range(64), **AT).inner


@pytest.mark.parametrize("sampling", [0, 0.0, -0.1, 1.1, "half", None, True, np.float32(2), float("nan")])
def test_sampling_outside_of_its_range_is_refused(sampling):
    with pytest.raises(ValueError, match=r"sampling must be the share .* above 0 and at most 1, got"):
        Sampling(sampling)


@pytest.mark.parametrize("name", ["inner_steps", "accumulation"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_steps_that_would_never_step_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least 1, got {value}$"):
        Sampling(1 / 8, **{name: value})
