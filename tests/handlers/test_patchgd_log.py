"""The log of a PatchGD run has all metrics of the validation in the place of Dice."""

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from monai_patchgrow.handlers import PatchGDLog, Throughput
from monai_patchgrow.handlers.run_log import read_history


@pytest.fixture
def history(tmp_path):
    """Of two epochs of two iterations, the second of them validated."""
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=2, metrics={"val_accuracy": torch.tensor(0.5)}))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    engine = Engine(lambda engine, batch: [{"loss": torch.tensor(2.0)}])
    stage = SimpleNamespace(patch_size=(4, 8), batch_size=2)

    @engine.on(Events.STARTED)
    def grow():
        engine.state.stage, engine.state.stage_number, engine.state.num_stages = stage, 1, 1

    Throughput().attach(engine)
    PatchGDLog(tmp_path, optimizer=optimizer, evaluator=evaluator).attach(engine)
    images = [torch.zeros(1, 10, 10), torch.zeros(1, 20, 10)]  # of different sizes, as a list
    engine.run([{"image": images, "label": torch.tensor([0, 1])}] * 2, max_epochs=2)
    return read_history(tmp_path / "history.jsonl")


def test_records(history):
    assert [(record["epoch"], record["loss"], record["patch_size"]) for record in history] == [
        (1, 2.0, [4, 8]),
        (2, 2.0, [4, 8]),
    ]


def test_metrics_are_those_of_the_validated_epoch(history):
    assert [record["metrics"] for record in history] == [None, {"val_accuracy": 0.5}]


def test_images_and_voxels_are_counted(history):
    assert [(record["total_images"], record["total_voxels"]) for record in history] == [(4, 600), (8, 1200)]
