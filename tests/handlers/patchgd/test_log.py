"""The log of a PatchGD run has all metrics of the validation in the place of Dice."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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


def run_alone(folder, metrics, **options):
    """One validated epoch of a trainer without PatchGrowth and Throughput: its record, and the curves it gave."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=1, metrics=metrics))
    engine = Engine(lambda engine, batch: [{"loss": torch.tensor(2.0)}])
    PatchGDLog(folder, optimizer=optimizer, evaluator=evaluator, **options).attach(engine)
    engine.run([0])
    (file,) = (folder / "tensorboard").iterdir()
    events = EventAccumulator(str(file))
    events.Reload()
    curves = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return read_history(folder / "history.jsonl")[0], curves


def test_without_growth_and_throughput_their_numbers_are_left_out(tmp_path):
    record, curves = run_alone(tmp_path, {})
    assert set(record) == {"epoch", "iteration", "loss", "learning_rate", "metrics"}
    assert set(curves) == {"train/loss", "train/learning_rate"}


@pytest.mark.parametrize(
    "recall",
    [torch.tensor([0.5, 1.0]), [0.5, 1.0], [torch.tensor(0.5), torch.tensor(1.0)], np.array([0.5, 1.0])],
    ids=["tensor", "list", "list of tensors", "array"],
)
def test_a_metric_per_class(tmp_path, recall):
    record, curves = run_alone(tmp_path, {"val_recall": recall, "val_accuracy": 0.75})
    assert record["metrics"] == {"val_recall": {"0": 0.5, "1": 1.0}, "val_accuracy": 0.75}
    validation = {tag: values for tag, values in curves.items() if tag.startswith("validation/")}
    assert validation == {"validation/recall/0": [0.5], "validation/recall/1": [1.0], "validation/accuracy": [0.75]}


def test_classes_have_their_names(tmp_path):
    metrics = {"val_recall": torch.tensor([0.5, 1.0]), "val_other": torch.tensor([0.0, 0.0, 1.0])}
    record, curves = run_alone(tmp_path, metrics, class_names=["healthy", "ill"])
    assert record["metrics"]["val_recall"] == {"healthy": 0.5, "ill": 1.0}
    assert record["metrics"]["val_other"] == {"0": 0.0, "1": 0.0, "2": 1.0}
    assert curves["validation/recall/ill"] == [1.0]


def test_names_that_a_metric_brings_along_stay(tmp_path):
    record, curves = run_alone(tmp_path, {"val_parts": {"left": 0.5, "right": torch.tensor(1.0)}})
    assert record["metrics"] == {"val_parts": {"left": 0.5, "right": 1.0}}
    assert curves["validation/parts/right"] == [1.0]


def test_a_matrix_stands_in_the_history_alone(tmp_path):
    record, curves = run_alone(tmp_path, {"val_confusion": torch.tensor([[3, 1], [0, 2]])})
    assert record["metrics"] == {"val_confusion": [[3.0, 1.0], [0.0, 2.0]]}
    assert set(curves) == {"train/loss", "train/learning_rate"}


def test_a_single_number_in_a_vector_is_a_number(tmp_path):
    assert run_alone(tmp_path, {"val_recall": torch.tensor([0.5])})[0]["metrics"] == {"val_recall": 0.5}


def test_what_is_no_number_is_left_out(tmp_path):
    assert run_alone(tmp_path, {"val_report": "good", "val_nothing": None})[0]["metrics"] == {}
