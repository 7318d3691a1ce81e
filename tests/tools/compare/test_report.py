"""Finished runs side by side: the table, the JSON and the picture."""

import json

import pytest

from monai_patchgrow.tools.compare.report import (
    Run,
    dice_table,
    epochs_in_equal_time,
    plot_dice,
    read_run,
    summary_json,
)


def record(epoch, seconds, voxels, dice=None):
    names = ("mean", "head", "tail")
    return {
        "epoch": epoch,
        "iteration": 20 * epoch,
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


def test_table_has_a_row_per_run_and_the_time_to_a_share_of_the_first_ones_dice():
    assert dice_table([CONSTANT, EFFICIENCY]).splitlines() == [
        "| curriculum | iterations | training, s | voxels, millions | Dice | head | tail | s to Dice 0.760 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| constant | 60 | 30.0 | 6.0 | 0.800 | 0.900 | 0.700 | 20.0 |",
        "| efficiency | 40 | 12.0 | 2.2 | 0.810 | 0.920 | 0.700 | 12.0 |",
    ]


def test_table_says_that_a_dice_was_not_reached():
    poor = Run("efficiency", (record(1, 4.0, 500_000, (0.7, 0.8, 0.6)),))
    assert dice_table([CONSTANT, poor]).splitlines()[-1].endswith("| not reached |")


def test_table_of_one_run():
    row = "| efficiency | 40 | 12.0 | 2.2 | 0.810 | 0.920 | 0.700 | 12.0 |"
    assert dice_table([EFFICIENCY]).splitlines()[2:] == [row]


# equal time


def epoch(patch_size, seconds, total_seconds, total_voxels, iteration):
    counts = {"patches_per_batch": 2, "total_seconds": total_seconds, "total_voxels": total_voxels}
    return {"patch_size": patch_size, "seconds": seconds, "iteration": iteration, **counts}


def test_equal_time_holds_as_many_full_epochs_as_the_last_stage_tells():
    small = [epoch([8], 1.0, 1.0 * n, 0, 20 * n) for n in (1, 2, 3, 4)]
    full = [epoch([16], seconds, 4 + 4.0 * n, 0, 80 + 20 * n) for n, seconds in ((1, 4.0), (2, 9.0), (3, 4.0))]
    # 16 s in all, 4 s the median full epoch.
    assert epochs_in_equal_time(Run("efficiency", (*small, *full))) == 4


def test_equal_time_of_random_follows_from_its_voxels():
    # 10 iterations of 2 patches of 16 voxels are 320; half of them were trained on in 30 s.
    drawn = tuple(epoch([16], 6.0, 6.0 * n, 32 * n, 2 * n) for n in range(1, 6))
    assert epochs_in_equal_time(Run("random", drawn)) == 2


def test_equal_time_holds_an_epoch_at_least():
    assert epochs_in_equal_time(Run("efficiency", (epoch([8], 1.0, 1.0, 0, 20), epoch([16], 9.0, 1.5, 0, 40)))) == 1


def test_dice_is_that_of_the_last_validation():
    assert CONSTANT.dice == {"mean": 0.8, "head": 0.9, "tail": 0.7}


def test_epochs_without_a_validation_are_left_out_of_the_curve():
    assert [validation["epoch"] for validation in CONSTANT.validations] == [1, 2]


def test_summary_holds_every_figure_rounded():
    assert json.loads(summary_json([EFFICIENCY])) == [
        {
            "curriculum": "efficiency",
            "iterations": 40,
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
