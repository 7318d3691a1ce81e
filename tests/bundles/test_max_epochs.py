"""A bundle whose `train#trainer#max_epochs` alone is overridden, as MONAI Label does: what depends on it follows."""

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

BUNDLES = sorted((Path(__file__).parents[2] / "bundles").glob("*_segmentation_patchgrow"))
EPOCHS = 137


@pytest.fixture(params=BUNDLES, ids=lambda folder: folder.name)
def parser(request):
    config = ConfigParser.load_config_file(request.param / "configs" / "train.json")
    parser = ConfigParser({**config, "device": "cpu", "bundle_root": str(request.param)})
    parser["train#trainer#max_epochs"] = EPOCHS
    return parser


def test_schedule_follows(parser):
    assert parser.get_parsed_content("schedule").max_epochs == EPOCHS


def test_learning_rate_follows(parser):
    assert parser.get_parsed_content("lr_scheduler#total_iters") == EPOCHS


def test_last_validation_follows(parser):
    numbers = [
        number
        for number, handler in enumerate(parser["train#handlers"])
        if handler["_target_"].endswith("ValidationHandler")
    ]
    last = f"train#handlers#{numbers[-1]}"
    assert parser.get_parsed_content(f"{last}#interval") == EPOCHS
    assert parser.get_parsed_content(f"{last}#_disabled_") is False
