"""Prepares the next cases while one is computed, and does what follows in the background: in threads."""

from __future__ import annotations

import copy
import logging
import runpy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from monai.transforms import Compose

__all__ = ["LoaderAhead", "Prepared", "in_background", "read_ahead"]

_SCRIPTS = Path(__file__).parent
hold_back, held_by_thread = (
    runpy.run_path(str(_SCRIPTS / "command.py"))[name] for name in ("hold_back", "held_by_thread")
)
carried = runpy.run_path(str(_SCRIPTS / "carried.py"))["carried"]

Transform = Callable[[Any], Any]


class LoaderAhead:
    """An evaluator's loader whose next batches are prepared, by threads, while one is evaluated.

    Args:
        loader: of batches, over a data set that has its transforms.
        postprocessing: the evaluator's, changed in place: it is that of the batch that was given last.
        num_workers: threads.
    """

    def __init__(self, loader: Any, postprocessing: Compose, *, num_workers: int) -> None:
        self.loader, self.postprocessing, self.num_workers = loader, postprocessing, num_workers
        self._transforms = postprocessing.transforms

    @property
    def dataset(self) -> Any:
        """The loader's."""
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batch_of = partial(_batch_of, self.loader.collate_fn, self.loader.dataset)
        for case in read_ahead(self.loader.batch_sampler, batch_of, self._transforms, num_workers=self.num_workers):
            yield self._batch(case)

    def _batch(self, case: Prepared) -> Any:
        try:
            batch, self.postprocessing.transforms = case.result()
        finally:
            case.say()
        return batch


class Prepared:
    """A case that a thread prepares, or that is prepared when it is asked for.

    Args:
        result: waits for the case; returns it preprocessed, and the postprocessing that inverts this preprocessing, or
            raises what the preprocessing raised.
        messages: what the thread has told by then, to be called.
    """

    def __init__(self, result: Callable[[], tuple[Any, Any]], messages: list[Callable[[], Any]]) -> None:
        self.result, self._messages = result, messages

    def say(self) -> None:
        """Tell, once, what the thread held back: messages keep the order of the cases."""
        while self._messages:
            self._messages.pop(0)()


def read_ahead(
    items: Iterable[Any], preprocessing: Transform, postprocessing: Any, *, num_workers: int
) -> Iterator[Prepared]:
    """Yield a case per item, in their order; as many threads prepare the next ones meanwhile, one each.

    MONAI inverts a case by the very transforms that have preprocessed it, and changes them while it does. So each case
    that is read, waits or is worked on has copies of both for itself; the next ones get them when it is done with.

    They are threads, since what takes the time (gzip, scipy, torch) lets others run. A process that is forked from
    one that has computed would have to compute in a single thread, by which the last bits of a mean differ; it would
    need room in /dev/shm, and might be killed. Closing the iterator waits for the reads under way.

    Args:
        items: what `preprocessing` is called with.
        preprocessing: of an item.
        postprocessing: of what the network makes of it, or several; copied together with `preprocessing`.
        num_workers: threads; 0: a case is prepared by the caller, with the transforms themselves.
    """
    if not num_workers:
        yield from (Prepared(partial(_prepare, item, preprocessing, postprocessing), []) for item in items)
        return
    pairs = [copy.deepcopy((preprocessing, postprocessing)) for _ in range(num_workers + 1)]
    threads = ThreadPoolExecutor(num_workers, thread_name_prefix="read_ahead")
    reading: deque[Prepared] = deque()
    with _messages_in_turn():
        try:
            for number, item in enumerate(items):
                messages: list[Callable[[], Any]] = []
                pair = pairs[number % len(pairs)]
                result = threads.submit(hold_back, messages, _prepare, item, *pair).result
                reading.append(Prepared(result, messages))
                del result  # which keeps the case
                if len(reading) > num_workers:
                    yield reading.popleft()
            while reading:
                yield reading.popleft()
        finally:
            threads.shutdown(cancel_futures=True)


@contextmanager
def in_background(is_on: bool) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Give a function that has a thread call another one, and returns what waits for its result.

    Args:
        is_on: without it nothing is called until its result is asked for.
    """
    if not is_on:
        yield partial
        return
    with ThreadPoolExecutor(1, thread_name_prefix="background") as thread:  # which ends what it has begun
        yield lambda function, *arguments: thread.submit(function, *arguments).result


def _batch_of(collate: Callable[[list[Any]], Any], dataset: Any, indices: Sequence[int]) -> Any:
    return collate([dataset[index] for index in indices])


def _prepare(item: Any, preprocessing: Transform, postprocessing: Any) -> tuple[Any, Any]:
    return preprocessing(item), postprocessing


@contextmanager
def _messages_in_turn() -> Iterator[None]:
    """Have what the carried reader logs, in a thread that holds messages back, wait with them."""
    logger = logging.getLogger(carried("nifti").__name__)

    def is_now(record: logging.LogRecord) -> bool:
        held = held_by_thread()
        if held is not None:
            held.append(partial(logger.handle, record))
        return held is None

    logger.addFilter(is_now)
    try:
        yield
    finally:
        logger.removeFilter(is_now)
