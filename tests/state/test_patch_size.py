"""PatchSize and PatchCount: what MONAI, multiprocessing and JSON configs ask of them."""

import copy
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

import monai_patchgrow
from monai_patchgrow import PatchCount, PatchSize
from monai_patchgrow.schedules.sample import SamplePatches
from monai_patchgrow.state.patch_size import held_at


def test_size_is_a_sequence_of_ints():
    size = PatchSize((40, 56, 48))
    assert tuple(size) == (40, 56, 48)
    assert (len(size), size[1], size[-1], size[:2]) == (3, 56, 48, (40, 56))
    assert size == (40, 56, 48) == size
    assert size != (40, 56)
    assert all(type(voxels) is int for voxels in size)


def test_size_takes_json_lists_and_numpy_ints():
    assert tuple(PatchSize([np.int64(8), 16])) == (8, 16)


@pytest.mark.parametrize("bad", [(0, 8), (8.5, 8), (True, 8), ("8", 8)])
def test_size_refuses_what_is_no_positive_integer(bad):
    with pytest.raises(ValueError, match="patch_size must be made of positive integers"):
        PatchSize(bad)


def test_size_refuses_another_number_of_axes():
    with pytest.raises(ValueError, match="must have 3 axes"):
        PatchSize((8, 8, 8)).set((8, 8))


def test_refused_change_leaves_the_size():
    size = PatchSize((8, 8))
    with pytest.raises(ValueError, match="positive"):
        size.set((16, 0))
    assert tuple(size) == (8, 8)


@pytest.mark.parametrize("shared", [PatchSize((8, 8)), PatchCount(2)])
def test_copies_are_the_object_itself(shared):
    assert copy.deepcopy(shared) is shared
    assert copy.copy(shared) is shared


def test_count_stands_for_an_int():
    count = PatchCount(3)
    assert (int(count), count == 3, count < 4, count >= 3, list(range(count))) == (
        3,
        True,
        True,
        True,
        [0, 1, 2],
    )
    assert [0] * count == [0, 0, 0]
    with pytest.raises(ValueError, match="patch_count"):
        count.set(0)


def _report(size, count, go, seen):
    go.wait(30)
    seen.put((tuple(size), int(count)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_sees_a_change(method):
    context = torch.multiprocessing.get_context(method)
    size, count, go, seen = PatchSize((8, 8)), PatchCount(1), context.Event(), context.SimpleQueue()
    process = context.Process(target=_report, args=(size, count, go, seen))
    process.start()
    size.set((16, 24))
    count.set(5)
    go.set()
    assert seen.get() == ((16, 24), 5)
    process.join(30)
    assert process.exitcode == 0
    assert process not in multiprocessing.active_children()


def hold(size, count, held, go, seen):
    with held_at(SamplePatches(size=(4, 6), count=5, before=0), size, count):
        held.set()
        go.wait(30)
        seen.put((tuple(size), int(count)))


def test_what_one_process_holds_others_do_not_see():
    context = torch.multiprocessing.get_context("fork")
    size, count, held, go = PatchSize((8, 8)), PatchCount(2), context.Event(), context.Event()
    seen = context.SimpleQueue()
    process = context.Process(target=hold, args=(size, count, held, go, seen))
    process.start()
    held.wait(30)
    assert (tuple(size), int(count)) == ((8, 8), 2)
    go.set()
    assert seen.get() == ((4, 6), 5)
    process.join(30)


def test_a_held_value_ends_with_the_block():
    size, count = PatchSize((8, 8)), PatchCount(2)
    with pytest.raises(RuntimeError), held_at(SamplePatches(size=(4, 6), count=5, before=0), size, count):
        raise RuntimeError
    assert (tuple(size), int(count)) == ((8, 8), 2)


def test_without_patches_of_its_own_nothing_is_held():
    size = PatchSize((8, 8))
    with held_at(None, size):
        assert tuple(size) == (8, 8)


def test_no_thread_keeps_what_is_drawn():
    files = Path(monai_patchgrow.__file__).parent.rglob("*.py")
    assert [file.name for file in files if "threading.local" in file.read_text(encoding="utf-8")] == []
