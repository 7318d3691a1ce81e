"""Private names of other libraries are used in `internals` only, one module per library, each with its version.

A name is private with one leading underscore, unless one follows too, as in an enumeration's. What the package itself
calls so is no concern of this test.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import monai_patchgrow

PACKAGE = Path(monai_patchgrow.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"templates", "internals"} & {*path.parts}
}
PUBLIC_ALL_THE_SAME = {"os._exit"}
OVERRIDDEN = {"_iteration", "_register_decollate"}
"""Methods of MONAI's trainers and evaluators that its documentation has subclasses override."""


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and not name.endswith("_")


def own_names(tree):
    """What a module defines, or assigns to an object of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            yield node.attr


def is_own(owner):
    return ast.unparse(owner) in ("self", "cls", "super()")


def private_uses(tree, own):
    """Private names that are imported, or read from an object whose class isn't the package's own.

    `own` are the names of the whole package. On another object than itself a class may use those of its module alone.
    """
    beside = set(own_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (f"{node.module}: {name}" for name in named if is_private(name))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(is_private, alias.name.split("."))))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            known = own | beside if is_own(node.value) else beside
            yield from [] if node.attr in known else [ast.unparse(node)]


TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
OWN = {name for tree in TREES.values() for name in own_names(tree)}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_uses_no_private_name_of_another(module):
    assert set(private_uses(TREES[module], OWN)) - PUBLIC_ALL_THE_SAME == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_class_overrides_no_private_name_of_a_library(module):
    found = set()
    for _, kind in inspect.getmembers(importlib.import_module(module), inspect.isclass):
        bases = [base for base in kind.__mro__ if base.__module__.split(".")[0] in ("torch", "monai", "ignite")]
        if kind.__module__ == module:
            ours = {name for name in vars(kind) if is_private(name) and name != "_abc_impl"}
            found |= {name for name in ours for base in bases if name in vars(base)}
    assert found <= OVERRIDDEN


@pytest.mark.parametrize("path", sorted((PACKAGE / "internals").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_module_of_private_names_says_the_version_that_was_checked(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert re.search(r"checked against \w+ \d+\.\d+", docstring)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("loader._iterator = None", {"loader._iterator"}),
        ("import torch._dynamo", {"torch._dynamo"}),
        ("from torch.nn.modules.loss import _Loss", {"torch.nn.modules.loss: _Loss"}),
        ("from torch._dynamo import config", {"torch._dynamo: _dynamo"}),
        ("self._check_input_dim(x)", {"self._check_input_dim"}),
        ("super()._transform(0)", {"super()._transform"}),
        ("self._mine", set()),
        ("self._new = 1; other._new = 2", set()),
        ("other._mine", {"other._mine"}),
        ("self.__dict__", set()),
        ("for _ in range(3): pass", set()),
    ],
)
def test_what_counts_as_a_use(source, found):
    assert set(private_uses(ast.parse(source), {"_mine"})) == found
