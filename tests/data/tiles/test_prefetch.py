from __future__ import annotations

import threading
import time

import pytest
import torch

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tiles.prefetch import prefetch
from monai_patchgrow.data.tiles.source import TensorTiles


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
def test_results_come_in_order(depth):
    assert list(prefetch(lambda number: number * 10, range(5), depth=depth)) == [0, 10, 20, 30, 40]


def test_nothing_to_read():
    assert list(prefetch(abs, [])) == []


def test_chunks_of_a_source():
    source = TensorTiles(torch.arange(8).reshape(1, 8))
    chunks = [[(slice(0, 2),), (slice(6, 8),)], [(slice(4, 6),)]]
    assert [patches.tolist() for patches in prefetch(source.read, chunks)] == [[[[0, 1]], [[6, 7]]], [[[4, 5]]]]


def test_the_next_is_read_while_this_one_is_worked_on():
    read = threading.Event()

    def wait_for(number):
        if number == 1:
            read.set()
        return number

    results = prefetch(wait_for, range(3), depth=1)
    next(results)
    assert read.wait(5)
    results.close()


def test_no_more_than_depth_is_read_ahead():
    started = []
    results = prefetch(lambda number: started.append(number), range(10), depth=2)
    next(results)
    time.sleep(0.1)
    assert started == [0, 1, 2]
    results.close()


def test_an_error_comes_where_its_result_would():
    def read(number):
        if number == 2:
            raise DataError("a.tif: broken")
        return number

    results = prefetch(read, range(5), depth=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(DataError, match=r"a.tif: broken"):
        next(results)
    assert threads() == []


def test_the_thread_ends_with_the_iterator():
    results = prefetch(abs, range(5))
    next(results)
    assert len(threads()) == 1
    results.close()
    assert threads() == []


def test_a_negative_depth():
    with pytest.raises(ValueError, match="depth must be 0 or more, got -1"):
        prefetch(abs, [], depth=-1)
