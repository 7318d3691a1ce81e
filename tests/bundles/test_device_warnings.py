"""Evaluation and inference, which need MONAI alone, say too what their device can't do."""

import runpy
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

SETTINGS = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow" / "scripts" / "settings.py"


@pytest.mark.parametrize("line", ["a card is idle", None])
def test_an_idle_card_is_said(monkeypatch, caplog, line):
    settings = runpy.run_path(str(SETTINGS))
    monkeypatch.setattr(settings["carried"]("idle_gpu"), "idle_gpu", lambda: line)
    parser = ConfigParser({"device": "cpu", "amp": False, "patch_size": [8, 8, 8]})
    settings["check_settings"]([parser])
    assert caplog.messages == ([line] if line else [])
