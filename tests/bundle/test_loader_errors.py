"""A worker that was killed, or that hands out nothing, ends a run in one line, in training and in validation."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from ignite.engine import Engine, Events
from killed_workers import tells_anywhere
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch.utils.data import DataLoader

from monai_patchgrow.bundle import segmentation
from monai_patchgrow.bundle.patchgd.preflight import run_engine
from monai_patchgrow.data import DataError
from monai_patchgrow.data.loading import stall_watch


class Killed:
    """Its worker is killed at the second item."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


class Stalled(Killed):
    """Its worker takes longer for the second item than its loader waits."""

    def __getitem__(self, index):
        time.sleep(3 * (index == 1))
        return index


class Validating:
    """A trainer whose validation reads the data."""

    def __init__(self, loader):
        self.validation = Engine(lambda engine, batch: None)
        self.loader = loader

    def run(self):
        trainer = Engine(lambda engine, batch: self.validation.run(self.loader))
        trainer.run([0])


@tells_anywhere
@pytest.mark.parametrize("run", [segmentation.train, run_engine], ids=["segmentation", "classification"])
@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (
            Killed(),
            r"^num_workers: DataLoader worker \(pid.* (killed|exited).*: is /dev/shm or the memory full\? fewer",
        ),
        (Stalled(), r"^num_workers: DataLoader timed out after 1 seconds: is /dev/shm or the memory full\? fewer"),
    ],
    ids=["killed", "stalled"],
)
def test_a_worker_that_hands_out_nothing(run, dataset, told):
    loader = DataLoader(dataset, num_workers=1, timeout=1)
    with pytest.raises(DataError, match=told):
        run(Validating(loader))


def test_another_error_is_left_alone():
    trainer = Engine(lambda engine, batch: 1 / 0)
    trainer_run = type("Trainer", (), {"run": lambda self: trainer.run([0])})()
    with pytest.raises(ZeroDivisionError):
        run_engine(trainer_run)


class Tensors:
    """Items whose memory the main process asks a worker for."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"image": torch.ones(1, 4, 4), "label": torch.ones(1, 4, 4), "worker": os.getpid()}


def stop_worker(engine):
    os.kill(int(engine.state.batch["worker"]), signal.SIGSTOP)


@tells_anywhere
@pytest.mark.parametrize("is_within_training", [True, False], ids=["validation", "evaluation"])
def test_a_worker_that_is_stopped_ends_an_evaluator_in_one_line(monkeypatch, is_within_training):
    monkeypatch.setattr(stall_watch, "_GRACE_SECONDS", 0.0)
    network = torch.nn.Conv2d(1, 1, 1)
    loader = DataLoader(Tensors(), num_workers=1, timeout=1)
    evaluator = SupervisedEvaluator(device="cpu", val_data_loader=loader, network=network)
    evaluator.add_event_handler(Events.GET_BATCH_COMPLETED(once=1), stop_worker)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(Tensors(), batch_size=8),
        network=network,
        optimizer=torch.optim.SGD(network.parameters()),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[ValidationHandler(1, evaluator)],
    )
    with pytest.raises(DataError, match=r"^num_workers: DataLoader timed out after 1 seconds: is /dev/shm"):
        run_engine(trainer if is_within_training else evaluator)
