"""Finished runs side by side: the table, the JSON and the picture."""

import json

import pytest

from monai_patchgrow.tools.compare.report import Run, dice_table, plot_dice, read_run, summary_json


def record(epoch, seconds, voxels, dice=None):
    names = ("mean", "head", "tail")
    return {
        "epoch": epoch,
        "total_seconds": seconds,
        "total_voxels": voxels,
        "dice": None if dice is None else dict(zip(names, dice, strict=True)),
    }


CONSTANT = Run(
    "constant",
    (
        record(1, 10.0, 2_000_000, (0.5, 0.6, 0.4)),
        record(2, 20.0, 4_000_000, (0.8, 0.9, 0.7)),
        record(3, 30.0, 6_000_000),
    ),
)
EFFICIENCY = Run("efficiency", (record(1, 4.0, 500_000), record(2, 12.0, 2_250_000, (0.81, 0.92, 0.70006))))


def test_table_has_a_row_per_run_and_the_speed_up_over_the_first():
    assert dice_table([CONSTANT, EFFICIENCY]).splitlines() == [
        "| curriculum | training, s | speed-up | voxels, millions | Dice | head | tail |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| constant | 30.0 | 1.00 | 6.0 | 0.800 | 0.900 | 0.700 |",
        "| efficiency | 12.0 | 2.50 | 2.2 | 0.810 | 0.920 | 0.700 |",
    ]


def test_table_of_one_run():
    assert dice_table([EFFICIENCY]).splitlines()[2:] == ["| efficiency | 12.0 | 1.00 | 2.2 | 0.810 | 0.920 | 0.700 |"]


def test_dice_is_that_of_the_last_validation():
    assert CONSTANT.dice == {"mean": 0.8, "head": 0.9, "tail": 0.7}


def test_epochs_without_a_validation_are_left_out_of_the_curve():
    assert [validation["epoch"] for validation in CONSTANT.validations] == [1, 2]


def test_summary_holds_every_figure_rounded():
    assert json.loads(summary_json([EFFICIENCY])) == [
        {
            "curriculum": "efficiency",
            "seconds": 12.0,
            "voxels": 2_250_000,
            "dice": {"mean": 0.81, "head": 0.92, "tail": 0.7001},
            "validations": [{"epoch": 2, "seconds": 12.0, "dice": {"mean": 0.81, "head": 0.92, "tail": 0.7001}}],
        }
    ]


def test_summary_keeps_the_order_of_the_runs():
    names = [run["curriculum"] for run in json.loads(summary_json([EFFICIENCY, CONSTANT]))]
    assert names == ["efficiency", "constant"]


def test_picture_is_a_png(tmp_path):
    path = plot_dice([CONSTANT, EFFICIENCY, CONSTANT], tmp_path / "dice.png", title="Phantom")
    assert path == tmp_path / "dice.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


# reading


def write(folder, *records):
    (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))


def test_run_is_read_from_its_history(tmp_path):
    write(tmp_path, *EFFICIENCY.history)
    assert read_run(tmp_path, label="efficiency") == EFFICIENCY


def test_folder_without_a_history_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"history\.jsonl is missing: the run wrote no epoch$"):
        read_run(tmp_path, label="constant")


@pytest.mark.parametrize("records", [[], [record(1, 4.0, 500)]])
def test_history_without_a_validation_is_refused(tmp_path, records):
    write(tmp_path, *records)
    with pytest.raises(ValueError, match=r"history\.jsonl holds no validation: let the run get to its end$"):
        read_run(tmp_path, label="constant")
