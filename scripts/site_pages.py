"""Hooks of mkdocs: pages of the site whose text lies outside of docs/, and the links that lead to them.

README, the bundles' cards and the benchmarks' results have one owner each, which is not the site. A link in docs/ names
the file where it lies, so that it works on the repository's pages too; here it is turned into the site's own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CITATION.cff": "project/CITATION.cff",
    "CONTRIBUTING.md": "project/contributing.md",
    "LICENSE": "project/LICENSE.txt",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "benchmarks/index.md",
}
"""Where a file of the repository stands on the site."""

ALONE = ("index.md", "getting-started.md")
"""Pages without others beside them: what the list of pages would take is theirs."""

_LINK = re.compile(r"(\]\(|src=\")([^)\s\"#]+)(#[^)\s\"]*)?")


def site_uris() -> dict[Path, str]:
    """Each file from outside of docs/, and its place on the site."""
    uris = {ROOT / source: uri for source, uri in PAGES.items()}
    for path in sorted((ROOT / "bundles").glob("*/docs/*")):
        name = path.parts[-3]
        uris[path] = f"bundles/{name}/{'card.md' if path.name == 'README.md' else path.name}"
    for path in sorted((ROOT / "benchmarks" / "results").iterdir()):
        uris[path] = f"benchmarks/results/{path.name}"
    return {path: uri for path, uri in uris.items() if path.is_file()}


def on_files(files: Files, *, config: Any, **_: Any) -> Files:
    """Add them to the files that mkdocs found in docs/."""
    for path, uri in site_uris().items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    if page.file.src_uri in ALONE:
        page.meta["hide"] = ["navigation"]
    uris = site_uris()
    source = Path(page.file.abs_src_path)

    def on_site(link: re.Match[str]) -> str:
        start, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = Path(os.path.normpath(source.parent / target))
        if path in uris:
            uri = uris[path]
        elif path.is_relative_to(ROOT / "docs"):
            uri = path.relative_to(ROOT / "docs").as_posix()
        else:
            return link[0]  # mkdocs warns of it
        return f"{start}{os.path.relpath(uri, os.path.dirname(page.file.src_uri) or '.')}{anchor}"

    return _LINK.sub(on_site, markdown)
