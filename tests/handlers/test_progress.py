"""GrowthProgress: one bar on stderr over the whole run."""

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine

from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize
from monai_patchgrow.handlers import GrowthProgress


@pytest.fixture
def bar(monkeypatch, capsys):
    """Runs three epochs and returns every state of the bar."""
    monkeypatch.setattr("monai_patchgrow.handlers.progress._SECONDS_BETWEEN_LINES", 0.0)

    def run(*, start=0, output=None, **options):
        schedule = GrowthSchedule.plan(patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=3)
        engine = Engine(lambda engine, batch: output or {"loss": torch.tensor(0.25)})
        if start:
            engine.load_state_dict({"epoch": start, "max_epochs": 3, "epoch_length": 2})
        PatchGrowth(schedule, PatchSize((16, 16))).attach(engine)
        GrowthProgress(**options).attach(engine)
        engine.run([0, 0], max_epochs=3)
        written = capsys.readouterr()
        assert written.out == ""
        return [line for line in written.err.replace("\n", "\r").split("\r") if line]

    return run


def test_line_holds_epoch_stage_patch_and_loss(bar):
    assert "epoch 3/3, stage 3/3, patch 16x16, loss 0.250" in bar()[-1]


def test_patch_grows_along_the_bar(bar):
    lines = bar()
    patches = [line.split("patch ")[1].split(",")[0] for line in lines if "patch " in line]
    assert list(dict.fromkeys(patches)) == ["8x8", "16x8", "16x16"]


def test_bar_counts_the_iterations_of_the_run(bar):
    assert " 6/6 " in bar()[-1]


def test_bar_of_a_resumed_run_starts_where_it_goes_on(bar):
    lines = bar(start=2)
    assert " 4/6 " in lines[0]
    assert " 6/6 " in lines[-1]


def test_description_stands_in_front(bar):
    assert bar(description="efficiency")[-1].startswith("efficiency: 100%")


def test_dice_is_shown_once_there_is_one(bar):
    state = SimpleNamespace(metrics={"val_mean_dice": torch.tensor(0.5)}, key_metric_name="val_mean_dice")
    assert "loss 0.250, Dice 0.500" in bar(evaluator=SimpleNamespace(state=state))[-1]


def test_dice_is_left_out_before_the_first_validation(bar):
    state = SimpleNamespace(metrics={}, key_metric_name="val_mean_dice")
    assert "Dice" not in bar(evaluator=SimpleNamespace(state=state))[-1]


def test_loss_is_read_from_a_decollated_output(bar):
    assert "loss 0.500" in bar(output=[{"loss": torch.tensor(0.5)}] * 2)[-1]
