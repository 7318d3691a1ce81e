"""Trainings that are killed again and again end on the bits of unbroken ones."""

from pathlib import Path

import pytest


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """What became of two kinds of tiny trainings, whose processes were killed 20 times."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    from kill_test import kill_runs
    from tiny_runs import tiny_runs

    return kill_runs(20, tiny_runs()[:2], folder=tmp_path)


@pytest.mark.slow
def test_twenty_kills_change_nothing(trials):
    assert {trial["run"]: trial["verdict"] for trial in trials if trial["verdict"] != "same bits"} == {}
    assert sum(len(trial["kills"]) for trial in trials) == 20
