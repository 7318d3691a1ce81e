"""Two runs never write into one folder, and a run that is gone, however it went, stands in nobody's way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import socket
import time
from dataclasses import asdict, replace

import pytest

from monai_patchgrow.bundle import run_lock
from monai_patchgrow.bundle.run_lock import LOCK_NAME, Holder, check_unlocked, lock_folders, unlock_folders

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def released():
    yield
    unlock_folders()


def hold(folder, ready, *, with_worker=False):
    lock_folders(folder)
    if with_worker and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    ready.set()
    time.sleep(60)


@pytest.fixture
def other(tmp_path):
    """Start another run, which keeps the folder until it is killed."""
    started = []

    def start(**options):
        ready = FORK.Event()
        process = FORK.Process(target=hold, args=(tmp_path, ready), kwargs=options, daemon=True)
        process.start()
        assert ready.wait(30)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def claim(folder, **changes):
    """Leave the file of a run behind that isn't there any more."""
    holder = replace(Holder.this(), **changes)
    (folder / LOCK_NAME).write_text(json.dumps(asdict(holder)))


def refusal(folder):
    with pytest.raises(ValueError, match="another run writes there") as caught:
        lock_folders(folder)
    return str(caught.value)


def without_locks(monkeypatch):
    def lockf(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(run_lock.fcntl, "lockf", lockf)


def test_the_second_run_is_told_whose_the_folder_is(tmp_path, other):
    process = other()
    start = json.loads((tmp_path / LOCK_NAME).read_text())["start"]
    whose = f"process {process.pid} on {socket.gethostname()}, since {start}"
    assert refusal(tmp_path) == f"{tmp_path}: another run writes there, {whose}: give another folder, or wait"


def test_a_killed_run_holds_nothing(tmp_path, other):
    process = other()
    process.kill()
    process.join()
    assert (tmp_path / LOCK_NAME).exists()
    lock_folders(tmp_path)


def test_workers_that_outlive_their_run_hold_nothing(tmp_path, other):
    process = other(with_worker=True)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    lock_folders(tmp_path)


def test_the_file_goes_with_the_run(tmp_path):
    lock_folders(tmp_path / "out", tmp_path / "out" / "models")
    (tmp_path / "out" / "history.jsonl").touch()
    unlock_folders()
    # A folder that the run made goes too where nothing was written into it.
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["history.jsonl", "out"]


def test_a_run_may_ask_again(tmp_path):
    lock_folders(tmp_path)
    lock_folders(tmp_path)
    check_unlocked(tmp_path)


def test_asking_writes_nothing(tmp_path, other):
    check_unlocked(tmp_path, tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
    other()
    with pytest.raises(ValueError, match="another run writes there"):
        check_unlocked(tmp_path)


def test_a_run_on_another_machine_can_be_cleared_by_hand_only(tmp_path):
    claim(tmp_path, host="node7", boot="another")
    assert refusal(tmp_path).endswith(f"; if that run is over, delete {tmp_path / LOCK_NAME}")


@pytest.mark.parametrize("changes", [{"boot": "the last one"}, {"host": "a container of this machine"}])
def test_a_run_of_this_machine_that_left_its_file_is_over(tmp_path, changes):
    claim(tmp_path, **changes)
    lock_folders(tmp_path)
    assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


def test_a_file_that_says_nothing_is_nobody_s(tmp_path):
    (tmp_path / LOCK_NAME).write_text("")
    lock_folders(tmp_path)


def test_a_file_system_without_locks(tmp_path, other, monkeypatch):
    without_locks(monkeypatch)
    process = other()
    assert f"process {process.pid} on" in refusal(tmp_path)
    process.kill()
    process.join()
    lock_folders(tmp_path)


def test_a_later_process_of_the_same_number_is_another(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    claim(tmp_path, born="1")
    lock_folders(tmp_path)


def test_a_forked_process_is_another_run(tmp_path):
    lock_folders(tmp_path)
    told = FORK.Queue()

    def ask():
        try:
            lock_folders(tmp_path)
        except ValueError as error:
            told.put(str(error))
        unlock_folders()

    process = FORK.Process(target=ask)
    process.start()
    assert f"process {os.getpid()} on" in told.get(timeout=30)
    process.join()
    assert (tmp_path / LOCK_NAME).exists()


def test_the_file_of_a_later_run_is_left_alone(tmp_path, other):
    lock_folders(tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    other()
    unlock_folders()
    assert (tmp_path / LOCK_NAME).exists()
