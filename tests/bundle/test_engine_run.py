"""What a command leaves behind when its loader's workers hand out nothing."""

import multiprocessing
import os
import signal
import time

import pytest

from monai_patchgrow.bundle import engine_run
from monai_patchgrow.data import DataError


class Stalled:
    """An engine whose loader has given its worker up, which is stopped: no SIGTERM ends it."""

    def run(self):
        self.worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
        self.worker.start()
        os.kill(self.worker.pid, signal.SIGSTOP)
        raise RuntimeError("DataLoader timed out after 1 seconds")


@pytest.fixture
def run(monkeypatch):
    """Run the engine in a command or in a process that hosts it; the worker's exit code then."""

    def run(*, is_command):
        monkeypatch.setattr(engine_run, "is_command", lambda: is_command)
        engine = Stalled()
        with pytest.raises(DataError, match=r"^num_workers: DataLoader timed out after 1 seconds: is /dev/shm"):
            engine_run.run_engine(engine)
        code = engine.worker.exitcode
        engine.worker.kill()
        engine.worker.join()
        return code

    return run


def test_a_command_leaves_no_stopped_worker(run):
    assert run(is_command=True) == -signal.SIGKILL


def test_a_host_keeps_its_processes(run):
    assert run(is_command=False) is None
