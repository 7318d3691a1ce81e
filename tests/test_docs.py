"""README, docs, cards and results: their links lead somewhere, and what they name exists."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLES = sorted((ROOT / "bundles").glob("*_patch*/docs/README.md"))
FOLDERS = [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
PAGES = [*sorted(ROOT.glob("*.md")), *FOLDERS, *BUNDLES]


def name_of(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """Of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_anchors_are_headings(page):
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    pages = [(page.parent / target if target else page, anchor) for target, anchor in links]
    assert [anchor for target, anchor in pages if anchor not in anchors(target)] == []


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


def test_every_page_of_docs_is_in_the_navigation():
    navigation = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages - navigation) == []


def test_every_bundle_has_its_card_in_the_navigation():
    names = {page.parts[-3] for page in BUNDLES}
    assert set(re.findall(r"bundles/(\w+)/card\.md", (ROOT / "mkdocs.yml").read_text())) == names


def test_every_folder_with_public_names_has_a_page():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "reference" / "api").glob("*.md"))
    documented = set(re.findall(r"^::: monai_patchgrow\.(\w+)", pages, re.MULTILINE))
    folders = {"schedules", "state", "losses", "metrics", "transforms", "data", "networks", "handlers", "engines"}
    assert folders - documented == set()
