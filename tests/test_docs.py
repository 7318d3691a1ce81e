"""README, cards and results: their links lead somewhere, and the settings that they name exist."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLES = sorted((ROOT / "bundles").glob("*/docs/README.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "benchmarks").rglob("*.md")), *BUNDLES]


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
    config = json.loads((page.parents[1] / "configs" / "train.json").read_text())
    table = page.read_text().split("| key | default | meaning |")[1].split("\n\n")[0]
    keys = [key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(keys) > 10
    assert [key for key in keys if key not in config] == []
