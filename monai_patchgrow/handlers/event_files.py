"""TensorBoard's files on a disk that takes no more: one error, of the process that writes, which names their folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_patchgrow.files import named_in_errors

__all__ = ["event_files_of"]

_SECONDS = 1.0  # for the writer's thread to end after its error was raised


@contextmanager
def event_files_of(folder: Path) -> Iterator[None]:
    """Write curves and pictures in the block, and flush or close them.

    TensorBoard writes in a thread of its own. Where the disk refuses, Python prints that thread's traceback; the
    process that writes gets the same error when it next adds something, which may be never.

    Args:
        folder: of the files.

    Raises:
        OSError: the disk is full, or read-only.
    """
    refused: list[Any] = []
    has_ended = threading.Event()
    before = threading.excepthook

    def note(told: Any) -> None:
        if isinstance(told.exc_value, OSError):
            refused.append(told.exc_value)
            has_ended.set()
        else:
            before(told)

    threading.excepthook = note
    try:
        with named_in_errors(folder):
            try:
                yield
            except OSError:
                has_ended.wait(_SECONDS)
                raise
            if refused:
                raise refused[0]
    finally:
        threading.excepthook = before
