"""What compare hands to the command line arrives there as what it was; a training that fails is one line."""

import json
from types import SimpleNamespace

import fire
import pytest
from commands import run_python

from monai_patchgrow.tools.compare import compare
from monai_patchgrow.tools.compare.compare import _as_arguments, train


@pytest.mark.parametrize("value", [False, True, 3, 0.5, [1, 2], {"0": "background"}, "constant", "all"])
def test_settings_survive_the_command_line(value):
    assert fire.Fire(lambda setting: setting, command=_as_arguments({"setting": value})) == value


def test_a_training_that_ends_in_a_traceback_is_one_line_with_its_log(tmp_path, capfd):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    config = {"imports": ["$import os"], "run": ["$os.no_such_name.total_stride"]}
    (configs / "train.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit):
        train(configs.parent, dataset_dir=tmp_path, output_dir=tmp_path / "run", cache_dir=tmp_path)
    log = tmp_path / "run" / "train.log"
    line = f"error: AttributeError: module 'os' has no attribute 'no_such_name' (its log: {log})\n"
    assert capfd.readouterr().err == line
    assert "Traceback" in log.read_text()


def test_a_training_that_is_killed_says_so(monkeypatch, tmp_path):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)

    def run(command, *, stdout, check):
        return run_python(*command[1:], stdout=stdout.name)

    monkeypatch.setattr(compare, "subprocess", SimpleNamespace(run=run))
    config = {"imports": ["$import os"], "run": ["$os.kill(os.getpid(), 9)"]}
    (configs / "train.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=r"ended by signal 9 \(its log: .*train\.log\)"):
        train(configs.parent, dataset_dir=tmp_path, output_dir=tmp_path / "run", cache_dir=tmp_path)


class Trainings:
    """Stands in for `train`: writes the epochs that it was told, full ones of 2 s and small ones of 1 s."""

    def __init__(self):
        self.told = []

    def __call__(self, bundle, *, output_dir, curriculum, max_epochs, val_interval, **settings):
        self.told.append((curriculum, max_epochs, val_interval, settings["seed"]))
        output_dir.mkdir(parents=True)
        lines, seconds = [], 0.0
        for number in range(1, max_epochs + 1):
            is_full = curriculum == "constant" or number > max_epochs // 2
            seconds += 2.0 if is_full else 1.0
            size = {"patch_size": [16] if is_full else [8], "patches_per_batch": 1}
            dice = {"mean": 0.8, "head": 0.8} if number % val_interval == 0 else None
            times = {"seconds": 2.0 if is_full else 1.0, "total_seconds": seconds, "total_voxels": 100}
            lines.append({"epoch": number, "iteration": 20 * number, "dice": dice, **size, **times})
        (output_dir / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def trainings(monkeypatch):
    told = Trainings()
    monkeypatch.setattr(compare, "train", told)
    return told


def test_constant_is_planned_for_the_time_that_the_curriculum_took(trainings, tmp_path):
    runs = compare.compare("b", dataset_dir="d", output_dir=tmp_path, max_epochs=12, validations=3, seed=5)
    assert trainings.told == [("efficiency", 12, 4, 5), ("constant", 9, 3, 5)]
    assert [(run.label, run.seconds) for run in runs] == [("constant", 18.0), ("efficiency", 18.0)]
    assert [row["curriculum"] for row in json.loads((tmp_path / "comparison.json").read_text())] == [
        "constant",
        "efficiency",
    ]


def test_constant_alone_is_trained_once(trainings, tmp_path):
    runs = compare.compare(
        "b", dataset_dir="d", output_dir=tmp_path, curriculum="constant", max_epochs=4, validations=2, seed=0
    )
    assert [run.label for run in runs] == ["constant"]
    assert len(trainings.told) == 1
