"""How many loader workers the machine's shared memory holds, in which they hand batches over."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["BATCHES_AHEAD", "free_shared_bytes", "tensor_bytes", "workers_that_fit"]

BATCHES_AHEAD = 2
"""Batches that each worker makes ahead: the default of ``torch.utils.data.DataLoader``."""

_SHARE = 0.8  # of what is free: other processes of the machine have batches there too
_MIB = 2**20

_logger = logging.getLogger(__name__)


def free_shared_bytes() -> float:
    """Bytes that are free in /dev/shm; infinite where workers hand over in another way, as on macOS.

    >>> free_shared_bytes() > 0
    True
    """
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:
        return float("inf")


def workers_that_fit(num_workers: int, *, batch_bytes: int, free_bytes: float | None = None) -> int:
    """The number of workers whose batches fit into shared memory, at most `num_workers`; fewer are said in a warning.

    A worker that finds no room there waits for ever. Containers have little: Docker gives 64 MB.

    Args:
        num_workers: wanted.
        batch_bytes: of the largest batch.
        free_bytes: default: what is free in /dev/shm.

    Returns:
        Workers; 0, which makes batches in the main process, where not even one fits.

    >>> workers_that_fit(8, batch_bytes=10 * 2**20, free_bytes=64 * 2**20)
    2
    """
    free = free_shared_bytes() if free_bytes is None else free_bytes
    fitting = num_workers
    while fitting and (fitting * BATCHES_AHEAD + 1) * batch_bytes > _SHARE * free:
        fitting -= 1
    if fitting < num_workers:
        _logger.warning(
            "num_workers %d instead of %d: /dev/shm has %.0f MiB free, %d batches of %.0f MiB need more; docker run "
            "--shm-size (or --ipc=host) gives more",
            *(fitting, num_workers, free / _MIB, num_workers * BATCHES_AHEAD + 1, batch_bytes / _MIB),
        )
    return fitting


def tensor_bytes(value: Any) -> int:
    """Bytes of the tensors that an item is made of, in containers and attributes too: what a worker hands over.

    Args:
        value: of a data set; without circles.

    >>> tensor_bytes({"image": torch.zeros(3, 8, 8, dtype=torch.uint8), "label": 1})
    192
    """
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, Mapping):
        return sum(map(tensor_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(tensor_bytes, value))
    return sum(map(tensor_bytes, vars(value).values())) if type(value).__module__.startswith("monai_patchgrow") else 0
