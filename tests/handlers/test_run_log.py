"""RunLog: one line per epoch, what a resumed run keeps of them, and TensorBoard's curves."""

import json
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize
from monai_patchgrow.handlers import RunLog, Throughput
from monai_patchgrow.handlers.run_log import read_history


def make_evaluator(*, epoch, mean=0.75, per_class=((0.5, 1.0),)):
    return SimpleNamespace(
        state=SimpleNamespace(
            epoch=epoch,
            metrics={"val_mean_dice": mean},
            metric_details={"val_mean_dice": torch.tensor(per_class)},
            key_metric_name="val_mean_dice",
        )
    )


def run(folder, *, max_epochs=3, start=0, step=None, **options):
    """Two iterations an epoch of two patches of one class; the loss is the iteration's number."""
    schedule = GrowthSchedule.plan(patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.5)
    engine = Engine(step or (lambda engine, batch: {"loss": torch.tensor(float(engine.state.iteration))}))
    size = PatchSize((16, 16))

    @engine.on(Events.GET_BATCH_COMPLETED)
    def make_batch(engine):
        label = torch.zeros(2, 1, *size)
        label[0] = 1
        engine.state.batch = {"image": torch.zeros(2, 1, *size), "label": label}

    @engine.on(Events.EPOCH_COMPLETED)
    def decay():
        optimizer.param_groups[0]["lr"] /= 2

    if start:
        engine.load_state_dict({"epoch": start, "max_epochs": max_epochs, "epoch_length": 2})
    for handler in (Throughput(), PatchGrowth(schedule, size)):
        handler.attach(engine)
    RunLog(folder, optimizer=optimizer, **options).attach(engine)
    engine.run([0, 0], max_epochs=max_epochs)
    return read_history(folder / "history.jsonl")


def column(history, name):
    return [record[name] for record in history]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("epoch", [1, 2, 3]),
        ("iteration", [2, 4, 6]),
        ("stage", [1, 2, 3]),
        ("stages", [3, 3, 3]),
        ("patch_size", [[8, 8], [16, 8], [16, 16]]),
        ("patches_per_batch", [2, 2, 2]),
        ("loss", [1.5, 3.5, 5.5]),
        ("learning_rate", [0.5, 0.25, 0.125]),
        ("foreground_share", [0.5, 0.5, 0.5]),
        ("total_voxels", [256, 768, 1792]),
        ("dice", [None, None, None]),
    ],
)
def test_line_of_every_epoch(tmp_path, name, wanted):
    assert column(run(tmp_path), name) == wanted


def test_seconds_add_up(tmp_path):
    history = run(tmp_path)
    assert history[-1]["total_seconds"] == pytest.approx(sum(column(history, "seconds")))


def test_one_line_is_one_json_object(tmp_path):
    run(tmp_path)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_dice_stands_in_the_epoch_that_was_validated(tmp_path):
    history = run(tmp_path, evaluator=make_evaluator(epoch=2), class_names=["head", "tail"])
    assert column(history, "dice") == [None, {"mean": 0.75, "head": 0.5, "tail": 1.0}, None]


def test_classes_without_names_are_numbered(tmp_path):
    history = run(tmp_path, evaluator=make_evaluator(epoch=1))
    assert history[0]["dice"] == {"mean": 0.75, "1": 0.5, "2": 1.0}


def test_class_that_a_case_lacks_is_left_out_of_its_mean(tmp_path):
    evaluator = make_evaluator(epoch=1, per_class=((0.5, float("nan")), (1.0, 0.25)))
    assert run(tmp_path, evaluator=evaluator)[0]["dice"] == {"mean": 0.75, "1": 0.75, "2": 0.25}


def test_loss_is_read_from_a_decollated_output(tmp_path):
    history = run(tmp_path, step=lambda engine, batch: [{"loss": torch.tensor(2.0)}] * 2)
    assert column(history, "loss") == [2.0, 2.0, 2.0]


# resuming


def test_resumed_run_goes_on_behind_the_earlier_lines(tmp_path):
    run(tmp_path, max_epochs=2)
    assert column(run(tmp_path, start=2), "epoch") == [1, 2, 3]


def test_resumed_run_drops_the_lines_of_epochs_that_it_does_again(tmp_path):
    run(tmp_path)
    history = run(tmp_path, start=1, step=lambda engine, batch: {"loss": torch.tensor(9.0)})
    assert column(history, "epoch") == [1, 2, 3]
    assert column(history, "loss") == [1.5, 9.0, 9.0]


def test_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3, "lo')
    assert column(read_history(path), "epoch") == [1, 2]


def test_empty_history_has_no_records(tmp_path):
    (tmp_path / "history.jsonl").touch()
    assert read_history(tmp_path / "history.jsonl") == []


def test_resumed_run_replaces_a_line_that_was_cut_off(tmp_path):
    run(tmp_path)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    assert column(run(tmp_path, start=2), "epoch") == [1, 2, 3]


def test_resumed_run_makes_a_history_where_there_is_none(tmp_path):
    assert column(run(tmp_path / "new", start=2), "epoch") == [3]


# TensorBoard


def read_curves(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_curves_have_the_epoch_as_their_step(tmp_path):
    run(tmp_path)
    curve = read_curves(tmp_path).Scalars("growth/patch_size_x")
    assert [(event.step, event.value) for event in curve] == [(1, 8), (2, 16), (3, 16)]


def test_curves_of_epochs_that_are_done_again_are_purged(tmp_path):
    run(tmp_path)
    run(tmp_path, start=1, step=lambda engine, batch: {"loss": torch.tensor(9.0)})
    curve = read_curves(tmp_path).Scalars("train/loss")
    assert [(event.step, event.value) for event in curve] == [(1, 1.5), (2, 9.0), (3, 9.0)]


def test_dice_has_a_curve_per_class(tmp_path):
    run(tmp_path, evaluator=make_evaluator(epoch=2), class_names=["head", "tail"])
    curves = read_curves(tmp_path)
    values = {tag: curves.Scalars(tag)[0].value for tag in curves.Tags()["scalars"] if tag.startswith("dice/")}
    assert values == {"dice/mean": 0.75, "dice/head": 0.5, "dice/tail": 1.0}


def test_schedule_is_shown_as_text(tmp_path):
    run(tmp_path, schedule="stage table")
    assert read_curves(tmp_path).Tags()["tensors"] == ["schedule/text_summary"]


def test_error_of_the_run_is_not_swallowed(tmp_path):
    def fail(engine, batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, step=fail)
