"""How a bundle's engine ends: what stops it is one line that says what would help, and no worker is left behind."""

import pytest
import torch
from commands import run_python
from ignite.engine import Engine

from monai_patchgrow.bundle.engine_run import run_engine
from monai_patchgrow.data import DataError
from monai_patchgrow.engines import PatchGDTrainer


def full(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_full_gpu_is_one_line():
    engine = Engine(full)
    engine.data, engine.run = [0], lambda run=engine.run: run([0])
    with pytest.raises(DataError, match=r"^out of memory: take a smaller patch_size, .* \(CUDA out of memory"):
        run_engine(engine)


def test_a_gpu_that_is_full_of_tiles_needs_smaller_chunks():
    network = torch.nn.ModuleDict({"encoder": torch.nn.Flatten(), "head": torch.nn.Flatten()})
    trainer = PatchGDTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": torch.zeros(1, 1, 4, 4), "label": torch.zeros(1)}],
        network=network,
        patch_size=(2, 2),
        optimizer=torch.optim.SGD([torch.nn.Parameter(torch.ones(1))]),
        loss_function=full,
    )
    trainer._process_function = full
    with pytest.raises(DataError, match=r"^out of memory: take a smaller chunk_size"):
        run_engine(trainer)


_STALLED = """
import multiprocessing, os, signal, time
from monai_patchgrow.bundle import engine_run
class Stalled:
    def run(self):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        worker.start()
        os.kill(worker.pid, signal.SIGSTOP)
        print(worker.pid)
        raise RuntimeError("DataLoader timed out after 1 seconds")
engine_run.is_command = lambda: True
try:
    engine_run.run_engine(Stalled())
except engine_run.DataError as error:
    raise SystemExit(f"error: {error}")
"""


def test_a_command_ends_though_a_worker_is_stopped(tmp_path):
    ended = run_python("-W", "ignore", "-c", _STALLED, timeout=30)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith(
        "error: num_workers: DataLoader timed out after 1 seconds: is /dev/shm or the memory"
    )
    assert not is_running(int(ended.stdout))


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as status:
            return ") Z" not in status.read()
    except FileNotFoundError:
        return False
