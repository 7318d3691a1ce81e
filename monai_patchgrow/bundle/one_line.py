"""A user's error in one line, with exit code 1, instead of a traceback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "causes", "complain", "is_command", "one_line_config_errors", "one_line_errors", "reason_of"]

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""

_logger = logging.getLogger(__name__)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a ValueError or OSError into a SystemExit of one line: printed to stderr, exit code 1.

    >>> with one_line_errors():
    ...     raise ValueError("max_epochs must be\\n at least 1")
    Traceback (most recent call last):
    SystemExit: error: max_epochs must be at least 1
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


@contextmanager
def one_line_config_errors() -> Iterator[None]:
    """For what a bundle's config calls: as `one_line_errors` where the process is ``python -m monai.bundle``.

    Ctrl-C ends the command without a traceback. SystemExit passes through MONAI's config parser, which would wrap any
    other error in a long traceback. A process that hosts bundles, as a MONAI Label server or a federated client, gets
    the error itself, which ends no process.

    >>> with one_line_config_errors():
    ...     raise ValueError("max_epochs must be at least 1")
    Traceback (most recent call last):
    ValueError: max_epochs must be at least 1
    """
    if not is_command():
        yield
        return
    with one_line_errors():
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


def complain(message: str) -> None:
    """Log an error that the work goes on after; where the process is ``python -m monai.bundle``, on stderr too."""
    line = " ".join(message.split())
    _logger.error(line)
    if is_command():
        sys.stderr.write(f"error: {line}\n")
        sys.stderr.flush()


def reason_of(error: BaseException) -> str:
    """Say in one line what went wrong first: the error that the others were raised from.

    >>> try:
    ...     try:
    ...         {}["total_stride"]
    ...     except KeyError as error:
    ...         raise RuntimeError("Failed to evaluate") from error
    ... except RuntimeError as error:
    ...     print(reason_of(error))
    KeyError: 'total_stride'
    """
    *_, first = causes(error)
    return " ".join(f"{type(first).__name__}: {first}".split())


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, what caused it, what caused that; not what an error was raised "from None" to hide."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def is_command() -> bool:
    """Whether the process is ``python -m monai.bundle``, and not one that hosts bundles."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.startswith("monai.bundle")
