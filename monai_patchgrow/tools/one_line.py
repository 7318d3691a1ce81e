"""A user's error in one line, with exit code 1, instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_line_errors"]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a ValueError or OSError into a SystemExit of one line: printed to stderr, exit code 1.

    SystemExit passes through MONAI's config parser, which would wrap any other error in a long traceback.

    >>> with one_line_errors():
    ...     raise ValueError("max_epochs must be\\n at least 1")
    Traceback (most recent call last):
    SystemExit: error: max_epochs must be at least 1
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None
