from __future__ import annotations

import pytest
import torch

from monai_patchgrow.data import PaintedTiles, TensorTiles
from monai_patchgrow.data.loading.shared_memory import tensor_bytes, workers_that_fit

MIB = 2**20


@pytest.mark.parametrize(
    ("free_mib", "batch_mib", "workers"),
    [(1024, 10, 4), (64, 5, 4), (64, 10, 2), (64, 17, 1), (64, 18, 0), (0, 1, 0), (float("inf"), 10_000, 4)],
)
def test_as_many_workers_as_fit(free_mib, batch_mib, workers):
    assert workers_that_fit(4, batch_bytes=batch_mib * MIB, free_bytes=free_mib * MIB) == workers


def test_fewer_workers_are_said(caplog):
    workers_that_fit(4, batch_bytes=10 * MIB, free_bytes=64 * MIB)
    assert caplog.messages == [
        "num_workers 2 instead of 4: /dev/shm has 64 MiB free, 9 batches of 10 MiB need more; docker run --shm-size "
        "(or --ipc=host) gives more"
    ]


def test_enough_room_is_not_spoken_of(caplog):
    assert workers_that_fit(0, batch_bytes=10 * MIB, free_bytes=0) == 0
    assert workers_that_fit(2, batch_bytes=MIB, free_bytes=64 * MIB) == 2
    assert caplog.messages == []


def test_what_a_worker_hands_over():
    tiles = TensorTiles(torch.zeros(1, 16, 16, dtype=torch.uint8))
    assert tensor_bytes({"image": tiles, "label": 1, "name": "a"}) == 256
    assert tensor_bytes({"image": PaintedTiles(tiles, None, threshold=1, colour=1), "label": torch.zeros(2)}) == 264
    assert tensor_bytes([torch.zeros(4, 4)[:1], "path"]) == 64  # a view takes all of its storage along
