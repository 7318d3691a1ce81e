"""What the configs of our own templates say: their targets, the names in their expressions, and the odd ones verbatim.

A bundle of ours is known by the templates that the installed package renders. No list is kept by hand. Names of an
expression are taken from it one by one only where they belong to libraries that compute; an expression that loads code
or looks at the running process, as those of inference.json do, is known as a whole, letter by letter.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_patchgrow.tools import render
from monai_patchgrow.tools.inspect.references import substituted

__all__ = ["GLOBALS", "GUARDED", "Vocabulary", "known_vocabulary"]

GLOBALS = {"monai": "monai", "np": "numpy", "numpy": "numpy", "torch": "torch"}
"""Modules that MONAI gives to each expression."""

GUARDED = ("callers", "scripts")
"""Keys whose values could do anything: the running objects, and what scripts define. Only our own text may use them."""

_TEMPLATES = Path(*render.__path__) / "templates"
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_TARGET = re.compile(r'"_target_": ("[^"{\n]+")')
_ROOT = re.compile(r'"bundle_root": ("(?:[^"\\\n]|\\.)*")')
_COMPUTING = {"ignite", "monai", "monai_patchgrow", "torch"}
_HARMLESS = {"os.path.basename", "re.sub"}


@dataclass(frozen=True)
class Vocabulary:
    """What the templates say.

    targets: values of ``_target_``.
    modules: that they import.
    names: dotted names of modules' contents that they use.
    attributes: that they read from objects.
    verbatim: expressions that are known as a whole.
    bundle_roots: values of ``bundle_root``.
    """

    targets: frozenset[str]
    modules: frozenset[str]
    names: frozenset[str]
    attributes: frozenset[str]
    verbatim: frozenset[str]
    bundle_roots: frozenset[str]


@functools.cache
def known_vocabulary() -> Vocabulary:
    """The vocabulary of the installed package's templates."""
    targets, modules, names, attributes, verbatim, roots = (set[str]() for _ in range(6))
    for folder in sorted(path for path in _TEMPLATES.iterdir() if path.is_dir()):
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.json"))]
        targets |= {json.loads(found) for text in texts for found in _TARGET.findall(text)}
        roots |= {json.loads(found) for text in texts for found in _ROOT.findall(text)}
        said = {expression for text in texts for expression in _expressions(text)}
        aliases = dict(_imports(said))
        modules |= {module for found in aliases.values() for module in found}
        for expression in said:
            tree = _parsed(expression)
            if tree is None or isinstance(tree, ast.Module):
                continue
            dotted, read = _names(tree, {**{alias: {name} for alias, name in GLOBALS.items()}, **aliases})
            if _is_odd(expression, dotted):
                verbatim.add(expression)
            else:
                names |= dotted
                attributes |= read
    found = (targets, modules, names, attributes, verbatim, roots)
    return Vocabulary(*(frozenset(values) for values in found))


def _expressions(text: str) -> Iterator[str]:
    for found in _STRING.findall(text):
        if found.startswith('"$') and "{{" not in found and "{%" not in found:
            yield json.loads(found)


def _parsed(expression: str) -> ast.AST | None:
    """An expression's tree; of an import a module's; None where Jinja has cut it."""
    try:
        tree = ast.parse(substituted(expression.replace("#", "::")))
    except SyntaxError:
        return None
    return tree.body[0].value if isinstance(tree.body[0], ast.Expr) else tree


def _imports(expressions: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Each name that the configs of a folder import, with the modules that it stands for in one or the other."""
    aliases: dict[str, set[str]] = {}
    for expression in expressions:
        tree = _parsed(expression)
        if isinstance(tree, ast.Module) and isinstance(tree.body[0], ast.Import):
            alias = tree.body[0].names[0]
            aliases.setdefault(alias.asname or alias.name, set()).add(alias.name)
    yield from aliases.items()


def _names(tree: ast.AST, aliases: dict[str, set[str]]) -> tuple[set[str], set[str]]:
    """Dotted names that start at a module, and attributes of anything else."""
    dotted, read, inner = set(), set(), set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node in inner:
            continue
        parts, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            inner.add(value)
            parts.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name) and value.id in aliases:
            dotted |= {".".join([module, *reversed(parts)]) for module in aliases[value.id]}
        else:
            read |= set(parts)
    return dotted, read


def _is_odd(expression: str, dotted: set[str]) -> bool:
    guarded = any(re.search(rf"@{key}\b", expression) for key in GUARDED)
    return guarded or any(name.partition(".")[0] not in _COMPUTING and name not in _HARMLESS for name in dotted)
