"""The key `deterministic`, from train.json to cuDNN."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser

BUNDLES = Path(__file__).parents[2] / "bundles"
every_kind = pytest.mark.parametrize(
    "name",
    ["hippocampus_segmentation_patchgrow", "ultramnist_classification_patchgd", "volume_classification_patchgd"],
)


def config_of(name):
    return ConfigParser(ConfigParser.load_config_file(BUNDLES / name / "configs" / "train.json"))


@every_kind
def test_it_is_true_by_default(name):
    assert config_of(name)["deterministic"] is True


@every_kind
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_handler_alone_is_told(name, deterministic):
    config = config_of(name)
    config["settings"] = SimpleNamespace(deterministic=deterministic)
    kinds = [handler["_target_"].split(".")[-1] for handler in config["train#handlers"]]
    handler = config.get_parsed_content(f"train#handlers#{kinds.index('Reproducibility')}")
    assert handler.deterministic_cudnn is deterministic
    assert "set_determinism" not in str(config["initialize"])
