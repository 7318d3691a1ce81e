"""A worker that is stopped, as by SIGSTOP, while its batch's memory is asked for is not waited for without end."""

import multiprocessing
import os
import signal
from contextlib import suppress

import pytest
import torch
from killed_workers import tells_anywhere

from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.data.loading import stall_watch


class Items(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.ones(9)


@tells_anywhere
@pytest.mark.parametrize(
    "make_loader",
    [
        lambda **options: SeededDataLoader(Items(), persistent_workers=False, **options),
        lambda **options: stall_watch.WatchedLoader(torch.utils.data.DataLoader(Items(), **options)),
    ],
    ids=["SeededDataLoader", "WatchedLoader"],
)
def test_a_stopped_worker_ends_the_wait(monkeypatch, make_loader):
    monkeypatch.setattr(stall_watch, "_GRACE_SECONDS", 0.0)
    others = set(multiprocessing.active_children())
    batches = iter(make_loader(num_workers=1, timeout=1))
    next(batches)
    [worker] = set(multiprocessing.active_children()) - others
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 1 seconds"):
        list(batches)
    with suppress(RuntimeError):  # torch's own, where its timeout came first
        worker.kill()
        worker.join()


def test_a_worker_that_ends_while_it_hands_out_a_batch():
    worker = multiprocessing.get_context("fork").Process()
    worker.start()
    watch = stall_watch.StallWatch([worker], seconds=0)
    with pytest.raises(RuntimeError, match=r"^DataLoader worker ended while it"), watch.waiting():
        raise EOFError
    with pytest.raises(EOFError, match=r"^Caught EOFError in DataLoader worker process 0"), watch.waiting():
        raise EOFError("Caught EOFError in DataLoader worker process 0.")


def test_a_stopped_worker_does_not_outlive_torch_s_own_timeout():
    worker = multiprocessing.get_context("fork").Process(target=signal.pause, daemon=True)
    worker.start()
    os.kill(worker.pid, signal.SIGSTOP)
    watch = stall_watch.StallWatch([worker], seconds=0)
    with pytest.raises(RuntimeError, match="timed out after 3 seconds"), watch.waiting():
        raise RuntimeError("DataLoader timed out after 3 seconds")
    worker.join(10)
    assert worker.exitcode == -signal.SIGKILL


def test_what_comes_in_time_is_left_alone(monkeypatch):
    monkeypatch.setattr(stall_watch, "_GRACE_SECONDS", 0.0)
    loader = SeededDataLoader(Items(), num_workers=1, timeout=20)
    assert [len(list(loader)) for _ in range(2)] == [8, 8]


class _Raises:
    def __init__(self, message):
        self.message = message

    def __del__(self):
        raise RuntimeError(self.message)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_notice_in_a_destructor_is_not_printed_but_other_errors_are(monkeypatch):
    printed = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: printed.append(str(unraisable.exc_value)))
    with stall_watch.quiet_notices():
        for message in ("DataLoader worker (pid 7) is killed by signal: Killed.", "another fault"):
            _Raises(message)
    _Raises("DataLoader worker (pid 7) exited")
    assert printed == ["another fault", "DataLoader worker (pid 7) exited"]
