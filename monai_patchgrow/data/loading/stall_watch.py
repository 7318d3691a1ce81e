"""What ends a wait for a loader's workers that torch's own timeout does not end."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader

from monai_patchgrow.internals.torch import workers_of

__all__ = ["StallWatch", "WatchedLoader", "quiet_notices", "watched"]

_logger = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0  # for torch's own timeout, which comes first where it comes
_NOTICE_SECONDS = 0.1  # for the system to tell of it
_OF_WORKER = "Caught "  # begins the message of an error that a data set raised in a worker
_OF_TORCH = "DataLoader worker"  # of one that tells of a worker's end
_TIMED_OUT = "DataLoader timed out"  # of one that tells of torch's own timeout
_END = object()


class StallWatch:
    """Kills workers that keep the main process waiting for too long, and tells of it as torch does.

    torch's timeout ends the wait for a batch, but not for its memory, which the main process asks the worker for: one
    that is stopped (SIGSTOP, a frozen container) would be waited for without end.

    Args:
        workers: processes of a loader.
        seconds: that a wait may take; 0: without end.
    """

    def __init__(self, workers: Sequence[BaseProcess], *, seconds: float) -> None:
        self.workers = workers
        self.seconds = seconds + _GRACE_SECONDS
        self._since: float | None = None
        self._has_killed = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)
        if workers and seconds:
            self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for a batch in the block.

        Raises:
            RuntimeError: as torch's own: workers handed out nothing for too long, or one ended while it did.
        """
        self._since = time.monotonic()
        try:
            yield
        except (EOFError, ConnectionError, RuntimeError) as error:
            if self._has_killed:
                self._await_an_end()
                raise RuntimeError(f"DataLoader timed out after {self.seconds:g} seconds") from error
            if str(error).startswith(_TIMED_OUT):  # or the end of the process would wait for one that is stopped
                self._kill()
            if str(error).startswith((_OF_TORCH, _TIMED_OUT)):
                self._await_an_end()
            if isinstance(error, RuntimeError) or str(error).startswith(_OF_WORKER) or not self.workers:
                raise
            self._await_an_end()
            raise RuntimeError("DataLoader worker ended while it handed out a batch") from error
        finally:
            self._since = None

    def _await_an_end(self) -> None:
        """Take what torch raises, wherever the process is, when it is told of a worker's end."""
        with suppress(RuntimeError):
            wait([worker.sentinel for worker in self.workers], timeout=_GRACE_SECONDS)
        with suppress(RuntimeError):
            time.sleep(_NOTICE_SECONDS)

    def close(self) -> None:
        """Watch no more."""
        self._is_over.set()

    def _watch(self) -> None:
        while not self._is_over.wait(1.0):
            since = self._since
            if since is not None and time.monotonic() - since > self.seconds:
                _logger.error("workers handed out nothing for %.0f s: they are killed", self.seconds)
                self._has_killed = True
                self._kill()
                return

    def _kill(self) -> None:
        for worker in self.workers:
            worker.kill()


@contextmanager
def quiet_notices() -> Iterator[None]:
    """Print no traceback of a worker's end in the block where torch tells of it within a destructor.

    torch raises in a signal's handler, wherever the process is; what a destructor raises Python prints, and drops. The
    end itself is found when the worker is next waited for.
    """
    before = sys.unraisablehook

    def print_others(unraisable: Any) -> None:
        if not str(unraisable.exc_value).startswith(_OF_TORCH):
            before(unraisable)

    sys.unraisablehook = print_others
    try:
        yield
    finally:
        sys.unraisablehook = before


def watched(batches: Iterator[Any], *, seconds: float) -> Iterator[Any]:
    """The batches of a loader's iterator, whose workers are watched while they are waited for.

    Args:
        batches: the iterator.
        seconds: that a wait may take; 0: without end.

    Raises:
        RuntimeError: see :class:`StallWatch`.
    """
    watch = StallWatch(workers_of(batches), seconds=seconds)
    try:
        while True:
            with watch.waiting():
                batch = next(batches, _END)
            if batch is _END:
                return
            yield batch
    finally:
        watch.close()


class WatchedLoader:
    """A loader as it is, but that its workers are watched while its batches are waited for.

    Args:
        loader: torch's, or one of its kind; its ``timeout`` is what a wait may take.

    >>> loader = WatchedLoader(DataLoader([1, 2, 3], batch_size=2))
    >>> len(loader), [batch.tolist() for batch in loader], loader.batch_size
    (2, [[1, 2], [3]], 2)
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        """The batches of one round."""
        return watched(iter(self._loader), seconds=self._loader.timeout)

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
