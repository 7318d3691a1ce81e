"""The override that docs/how-to/resume.md names for checkpoints by iterations reaches the handler that writes them."""

import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

ROOT = Path(__file__).parents[2]
OVERRIDES = re.findall(r"^--(\S+) 200 +# (\w+)$", (ROOT / "docs" / "how-to" / "resume.md").read_text(), re.MULTILINE)
CONFIGS = [(place, path) for place, kind in OVERRIDES for path in ROOT.glob(f"bundles/*_{kind}_*/configs/train.json")]


def test_both_kinds_of_bundle_are_named():
    assert [kind for _, kind in OVERRIDES] == ["segmentation", "classification"]


@pytest.mark.parametrize(("place", "path"), CONFIGS, ids=lambda value: getattr(value, "parts", [""])[-3:][0])
def test_the_place_is_that_of_the_handler(place, path):
    handler, _, argument = place.rpartition("#")
    parser = ConfigParser(ConfigParser.load_config_file(path))
    assert argument == "iterations"
    assert parser[handler]["_target_"] == "monai_patchgrow.handlers.ResumableRun"
