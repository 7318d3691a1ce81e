from __future__ import annotations

from types import SimpleNamespace

import pytest

from monai_patchgrow.bundle.program_choice import choose_program

CONFIG = {
    "max_epochs": 5,
    "train": {"trainer": {"_target_": "SupervisedTrainer"}},
    "validate": {},
    "network": {"_target_": "UNet"},
    "run": ["$@train#trainer.run()"],
    "alone": "$@train#trainer.run()",
    "whole": {"run": ["$print()"]},
}


def chosen(run_id, config=CONFIG):
    workflow = SimpleNamespace(run_id=run_id)
    return choose_program(workflow, config), workflow.run_id


@pytest.mark.parametrize("run_id", ["run", "alone", "whole#run", "whole::run"])
def test_a_program_is_run(run_id):
    assert chosen(run_id) == (None, run_id)


def test_the_section_that_run_runs_stands_for_it():
    assert chosen("train") == (None, "run")
    assert chosen("train", {**CONFIG, "run": ["$@train::trainer.run()"]}) == (None, "run")  # as MONAI parses it
    assert chosen("validate", {**CONFIG, "run": ["$evaluate(@validate#evaluator)"]}) == (None, "run")


@pytest.mark.parametrize("run_id", ["initialize", "finalize"])
def test_what_only_prepares_is_refused(run_id):
    config = {**CONFIG, run_id: ["$print()"]}
    assert chosen(run_id, config)[0] == f"run {run_id}: it prepares or ends a run, and runs nothing: leave {run_id} out"


@pytest.mark.parametrize("run_id", ["training", "train#traner", "evaluate", "train#trainer#foo"])
def test_what_is_not_there_is_refused(run_id):
    line = f"run {run_id}: the config has no such key: leave {run_id} out, or name run"
    assert chosen(run_id) == (line, run_id)


@pytest.mark.parametrize("run_id", ["max_epochs", "network", "validate"])
def test_what_cannot_run_is_refused(run_id):
    line = f"run {run_id}: it is no expression that can be run: leave {run_id} out, or name run"
    assert chosen(run_id) == (line, run_id)


def test_a_section_of_a_config_without_run_is_refused():
    assert chosen("train", {"train": {}})[0].startswith("run train: it is no expression that can be run")
