"""A disk that takes no more, as the kernel's limit on the size of a file makes it for a process."""

import resource
from contextlib import contextmanager


@contextmanager
def files_up_to(size):
    """Let no file grow beyond so many bytes: what is written there raises OSError, "File too large"."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
