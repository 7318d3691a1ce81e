"""How a bundle's engine ends: what stops it is one line that says what would help."""

import pytest
import torch
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
