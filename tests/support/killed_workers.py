"""What tests that kill a loader's workers in their own process let pass."""

import pytest


def tells_anywhere(test):
    """Let pass what torch's signal handler leaves open: it tells of a worker's end wherever the process is then.

    In the middle of opening a file, that file stays open until it is collected.
    """
    open_file = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    when_collected = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    return open_file(when_collected(test))
