"""Reads what is needed next in the background, while what was read last is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(read: Callable[[Item], Result], items: Iterable[Item], *, depth: int = 1) -> Iterator[Result]:
    """Yield `read(item)` for every item in order, as `map` does; one thread reads the next ones meanwhile.

    Up to `depth` results wait in memory beside the one that was yielded last. Nothing is read before the first result
    is asked for. Closing the iterator, or leaving it to the garbage collector, ends the thread after the read that it
    is at. Tile sources can be read in a thread. (MONAI's ThreadBuffer drops what its thread raises and ends as if that
    were all, and the processes of a DataLoader would copy each patch.)

    Args:
        read: such as a tile source's `read`; what it raises is raised where its result would be yielded.
        items: such as a list of cells per chunk.
        depth: results that are read ahead; 0 reads each when it is asked for, without a thread.

    Raises:
        ValueError: depth is negative.

    Example:
        >>> import torch
        >>> from monai_patchgrow.data.tiles.source import TensorTiles
        >>> source = TensorTiles(torch.arange(8).reshape(1, 8))
        >>> [patches.tolist() for patches in prefetch(source.read, [[(slice(0, 2),)], [(slice(6, 8),)]])]
        [[[[0, 1]]], [[[6, 7]]]]
    """
    if depth < 0:
        raise ValueError(f"depth must be 0 or more, got {depth}")
    return _read_ahead(read, items, depth) if depth else map(read, items)


def _read_ahead(read: Callable[[Item], Result], items: Iterable[Item], depth: int) -> Iterator[Result]:
    thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(thread.submit(read, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)
