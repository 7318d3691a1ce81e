"""A loader's worker that was killed, crashed or stalled, in one line that says what would help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.seeded import WORKER_TIMEOUT

__all__ = ["loader_errors", "worker_timeout"]

_REMEDY = "is /dev/shm or the memory full? fewer num_workers need less, docker run --shm-size gives more"


@contextmanager
def loader_errors() -> Iterator[None]:
    """Turn torch's error of a loader whose workers hand out nothing into a DataError.

    Raises:
        DataError: in its place.

    >>> with loader_errors():
    ...     raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: num_workers: DataLoader worker (pid 7) is killed by signal: Killed.: is \
/dev/shm or the memory full? fewer num_workers need less, docker run --shm-size gives more
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader "):
            raise
        raise DataError(f"num_workers: {error}: {_REMEDY}") from error


def worker_timeout(num_workers: int) -> int:
    """Seconds without a batch after which a loader gives its workers up; 0, which is none, where it has no worker.

    >>> worker_timeout(2), worker_timeout(0)
    (1800, 0)
    """
    return WORKER_TIMEOUT if num_workers else 0
