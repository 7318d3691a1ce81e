"""Every name that a config calls is found, by Python 3.11's way of locating names and by that of 3.12 and later.

MONAI finds a ``_target_`` by `pydoc.locate`. Up to 3.11 a part of a dotted name that is both a module and an attribute
of its package gives the attribute; since 3.12 it gives the module. So no name may be both.
"""

import builtins
import functools
import importlib
import pkgutil
import re
import types
from pathlib import Path

import pytest
from monai.bundle.config_item import ComponentLocator, ConfigComponent

import monai_patchgrow

ROOT = Path(__file__).parents[1]
PACKAGES = [
    module.name
    for module in pkgutil.walk_packages(monai_patchgrow.__path__, f"{monai_patchgrow.__name__}.")
    if module.ispkg
]
CONFIGS = [path for folder in ("bundles", "docs", "tests") for path in sorted((ROOT / folder).rglob("*.json"))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "bundles").rglob("*.md"))]
TARGET = re.compile(r"""["']_target_["']\s*:\s*["']([^"']+)["']""")
NAMED = re.compile(r"\bmonai_patchgrow(?:\.\w+)+")


def by_attribute(name):
    """Import as pydoc of Python 3.11 does: what the last part of the name is in its package."""
    try:
        return functools.reduce(getattr, name.split(".")[1:], __import__(name))
    except (ImportError, AttributeError):
        return None


def by_module(name):
    """Import as pydoc of Python 3.12 does: the module of that name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def locate(path, safe_import):
    """Find an object by its dotted path, as `pydoc.locate` does."""
    parts = path.split(".")
    found, used = builtins, 0
    while used < len(parts) and (module := safe_import(".".join(parts[: used + 1]))) is not None:
        found, used = module, used + 1
    for part in parts[used:]:
        found = getattr(found, part, None)
    return found


def called(pattern, paths):
    """The names of `pattern` in files, each with the first file that has it."""
    names = {}
    for path in paths:
        for name in pattern.findall(path.read_text(encoding="utf-8")):
            names.setdefault(name, path.relative_to(ROOT))
    return names


@functools.cache
def locator():
    return ComponentLocator()


def full_name(target):
    return ConfigComponent(config={"_target_": target}, id="", locator=locator()).resolve_module_name()


@pytest.mark.parametrize("target", sorted(called(TARGET, [*CONFIGS, *PAGES])))
def test_target_is_one_callable_for_every_python(target):
    path = full_name(target)
    found = locate(path, by_attribute)
    assert callable(found)
    assert locate(path, by_module) == found


@pytest.mark.parametrize("name", sorted(called(NAMED, CONFIGS)))
def test_name_in_a_config_is_one_object_for_every_python(name):
    found = locate(name, by_attribute)
    assert found is not None
    assert locate(name, by_module) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_that_of_a_module_beside_it(package):
    face = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(face.__path__)}
    assert sorted(modules & set(getattr(face, "__all__", ()))) == []


def test_the_two_ways_differ_where_a_function_hides_its_module(tmp_path, monkeypatch):
    package = tmp_path / "hiding_package"
    package.mkdir()
    (package / "__init__.py").write_text("from hiding_package.rule import rule\n")
    (package / "rule.py").write_text("def rule(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(locate("hiding_package.rule", by_attribute), types.FunctionType)
    assert isinstance(locate("hiding_package.rule", by_module), types.ModuleType)
