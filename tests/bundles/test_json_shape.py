"""The JSON of the segmentation bundles stays readable: few keys and expressions, each of them short."""

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

BUNDLES = sorted((Path(__file__).parents[2] / "bundles").glob("*_segmentation_patchgrow"))
CONFIGS = [path for bundle in BUNDLES for path in sorted((bundle / "configs").glob("*.json"))]
LONGEST_EXPRESSION = 120


def expressions(node):
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from expressions(child)
    elif isinstance(node, str) and node.startswith("$"):
        yield node


def config_of(path):
    return ConfigParser.load_config_file(path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_expressions_are_short(path):
    assert [text for text in expressions(config_of(path)) if len(text) >= LONGEST_EXPRESSION] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_no_config_looks_through_frames_more_than_once(path):
    text = path.read_text()
    assert text.count("inspect.stack") <= 1
    assert "lower()" not in text


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda folder: folder.name)
def test_train_json_has_half_the_expressions_of_version_0_1(bundle):
    # Of the hippocampus bundle, which had 78 expressions and 58 keys at the top; CT and more channels need a few more.
    config = config_of(bundle / "configs" / "train.json")
    most = 41 if bundle.name.startswith("hippocampus") else 47
    assert len(list(expressions(config))) <= most
    # Eight more: trust_label_voxels, smallest_patch, full_patch_share, extend_to, checkpoint_minutes, deterministic,
    # split_file, pretrained.
    assert len(config) <= 66


def test_settings_come_before_what_is_made_of_them():
    keys = list(config_of(BUNDLES[0] / "configs" / "train.json"))
    made = keys.index("counts")
    assert keys[:2] == ["imports", "bundle_root"]
    assert "compile" in keys[:made]
    assert {"settings", "join", "planned_epochs", "split", "schedule", "network", "loss", "train"} <= set(keys[made:])
