"""Keeps the floors of the package, where imports go down only, and the size of its files and functions.

A module may import from its own folder and from lower floors. Siblings on one floor (transforms, data and
networks) don't know each other: what two of them need lives on a lower floor. Imports inside functions count.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "monai_patchgrow"
FLOORS = {
    "anisotropy": 0,
    "csv_cells": 0,
    "label_classes": 0,
    "files": 0,
    "safetensors_header": 0,
    "sealed_files": 0,
    "schedules": 0,
    "internals": 0,
    "state": 1,
    "weight_files": 1,
    "transforms": 2,
    "data": 2,
    "losses": 2,
    "metrics": 2,
    "networks": 2,
    "handlers": 3,
    "engines": 4,
    "bundle": 5,
    "tools": 6,
    "cli": 7,
}
LONGEST_FILE = 250
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 12
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "templates" not in path.parts  # files of bundles, which run where this package need not be
}
every_module = pytest.mark.parametrize("module", MODULES)


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported_by(module: str, tree: ast.Module, *, is_folder: bool = False) -> Iterator[str]:
    """Yield the dotted name of every import in `tree`; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) + is_folder - node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def imports_of(module: str) -> list[str]:
    return list(imported_by(module, parse(module), is_folder=is_folder(module)))


def is_folder(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


def climbs(module: str, name: str) -> bool:
    """Whether `module` may not import `name`, a dotted name of the package."""
    importer, imported = (dotted.split(".")[1:2] for dotted in (module, name))
    if not importer or importer == imported:
        return False
    return FLOORS.get(imported[0] if imported else "", sys.maxsize) >= FLOORS[importer[0]]


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return length
    return length - (function.body[0].end_lineno - function.body[0].lineno + 1)


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many parameters a function has, `*args` and `**options` included, `self` and `cls` not."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    variadic = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return len([one for one in named if one.arg not in ("self", "cls")]) + len(variadic)


def test_every_folder_has_a_floor():
    tops = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert tops - {"__init__"} <= set(FLOORS)


def test_every_folder_with_modules_is_a_package():
    folders = {path.parent for path in MODULES.values()}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


@every_module
def test_imports_go_down_only(module):
    ours = [name for name in imports_of(module) if name.split(".")[0] == PACKAGE.name]
    assert [name for name in ours if climbs(module, name)] == []


@every_module
def test_schedules_know_the_standard_library_only(module):
    if not module.startswith(f"{PACKAGE.name}.schedules"):
        return
    known = {*sys.stdlib_module_names, PACKAGE.name}
    assert [name for name in imports_of(module) if name.split(".")[0] not in known] == []


def test_no_module_imports_itself_through_others():
    def runs(module: str) -> set[str]:
        return {name if name in MODULES else name.rpartition(".")[0] for name in imports_of(module)}

    TopologicalSorter({module: runs(module) for module in MODULES}).prepare()


@every_module
def test_module_opens_with_a_docstring(module):
    assert ast.get_docstring(parse(module))


@every_module
def test_folder_says_which_question_it_answers(module):
    if is_folder(module) and module != PACKAGE.name:
        assert "?" in ast.get_docstring(parse(module))


@every_module
def test_file_is_short(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@every_module
def test_functions_are_short(module):
    functions = [n for n in ast.walk(parse(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {function.name: lines_of(function) for function in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@every_module
def test_signatures_are_short(module):
    functions = [n for n in ast.walk(parse(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    counts = {function.name: parameters_of(function) for function in functions}
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


@every_module
def test_only_the_command_line_prints(module):
    if module == f"{PACKAGE.name}.cli":
        return
    calls = [node.func for node in ast.walk(parse(module)) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"] == []


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        ("monai_patchgrow.state.patch_size", "monai_patchgrow.schedules.plan", False),
        ("monai_patchgrow.state.patch_size", "monai_patchgrow.state.latent_grid", False),
        ("monai_patchgrow.state.patch_size", "monai_patchgrow.handlers.patch_growth", True),
        ("monai_patchgrow.data.tiles.source", "monai_patchgrow.transforms.patches", True),
        ("monai_patchgrow.data.tiles.source", "monai_patchgrow.GrowthSchedule", True),
        ("monai_patchgrow", "monai_patchgrow.schedules.plan", False),
    ],
)
def test_what_counts_as_climbing(module, name, wrong):
    assert climbs(module, name) is wrong


def test_relative_imports_and_those_in_functions_are_seen():
    source = "def f():\n    from ..handlers import patch_growth\n    from . import plan\n    import torch.nn"
    tree = ast.parse(source)
    assert list(imported_by("monai_patchgrow.schedules.growth", tree)) == [
        "monai_patchgrow.handlers.patch_growth",
        "monai_patchgrow.schedules.plan",
        "torch.nn",
    ]
