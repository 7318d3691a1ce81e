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
