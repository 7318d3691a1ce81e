"""Which classes MONAI defines, read from its source without importing it."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections import defaultdict
from pathlib import Path

__all__ = ["classes_of_monai"]

_CLASS = re.compile(r"(?m)^class (\w+)")
_ALIASES = re.compile(r"(?m)^(\w+) = (\w+) = (\w+)$")  # as LoadImageD = LoadImageDict = LoadImaged


@functools.cache
def classes_of_monai() -> dict[str, frozenset[str]]:
    """Modules that define a class of MONAI, by the class's name; empty where MONAI isn't installed."""
    found = importlib.util.find_spec("monai")
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder).rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            module = ".".join(["monai", *parts]).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            names = [*_CLASS.findall(text), *(name for aliases in _ALIASES.findall(text) for name in aliases[:2])]
            for name in names:
                homes[name].add(module)
    return {name: frozenset(modules) for name, modules in homes.items()}
