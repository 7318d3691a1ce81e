"""README, cards and results: their links lead somewhere, and the settings that they name exist."""

import json
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_patchgrow.data import read_task

ROOT = Path(__file__).parents[1]
BUNDLES = sorted((ROOT / "bundles").glob("*_patch*/docs/README.md"))
FOLDERS = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
PAGES = [ROOT / "README.md", *FOLDERS, *BUNDLES]


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_left_to_fill_in(page):
    assert "@@" not in page.read_text()


@pytest.mark.parametrize("page", BUNDLES, ids=name_of)
def test_keys_of_the_card_are_keys_of_the_bundle(page):
    configs = [page.parents[1] / "configs" / f"{name}.json" for name in ("train", "evaluate", "inference")]
    config = {key for path in configs for key in json.loads(path.read_text())}
    table = page.read_text().split("| key | default | meaning |")[1].split("\n\n")[0]
    keys = [key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(keys) > 10
    assert [key for key in keys if key not in config] == []


def test_fast_path_of_the_readme_draws_batches_as_it_stands(phantom_task, tmp_path):
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (config,) = [json.loads(block) for block in blocks if "RandPatchesd" in block]
    rest = [{"_target_": name, "keys": ["image", "label"]} for name in ("LoadImaged", "EnsureChannelFirstd")]
    indices = {"_target_": "ClassesToIndicesd", "keys": "label", "num_classes": 3}
    transforms = config["preprocessing"]["transforms"]
    assert transforms.pop(0) == "..."  # the reader's own
    kept = {"_target_": "SelectItemsd", "keys": ["image", "label", "label_cls_indices"]}
    config["preprocessing"]["transforms"] = [*rest, indices, kept, *transforms]
    config["dataset"] |= {"cache_dir": str(tmp_path), "num_workers": 0}
    plan = {"patch_size": [96] * 3, "total_stride": [16] * 3, "batch_size": 2, "max_epochs": 1}
    config["schedule"] = {"_target_": "monai_patchgrow.GrowthSchedule.plan", **plan, "curriculum": "constant"}
    config["cases"] = [case.as_item() for case in read_task(phantom_task).cases[:2]]
    config["dataloader"]["num_workers"] = 0
    parser = ConfigParser(config)
    batch = next(iter(parser.get_parsed_content("dataloader")))
    assert batch["image"].shape == batch["label"].shape == (2, 1, 96, 96, 96)
    assert len(parser.get_parsed_content("handlers")) == 2
