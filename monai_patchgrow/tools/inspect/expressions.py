"""The grammar of ``$`` expressions: arithmetic, literals, lambdas, comprehensions, and calls of known names.

An expression is judged as MONAI evaluates it: relative references resolved, all references replaced by text, then
parsed by Python. What is not known to be harmless is named; there is no list of what is harmful.
"""

from __future__ import annotations

import ast
import builtins
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from monai_patchgrow.tools.inspect.plain_keys import PLAIN
from monai_patchgrow.tools.inspect.references import REFERENCES, absolute, references_in, substituted
from monai_patchgrow.tools.inspect.targets import Allowed
from monai_patchgrow.tools.inspect.vocabulary import GLOBALS, GUARDED

__all__ = ["Names", "expression_faults", "import_of", "reference_fault"]

_LONGEST = 4000  # characters of an expression that is judged
_BUILTINS = {
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list", "max", "min"),
    *("range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
}
_PLAIN = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.UAdd, ast.USub, ast.Not, ast.Invert),
    *(ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn),
    *(ast.Load, ast.Store, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Set),
    *(ast.Dict, ast.Slice, ast.Lambda, ast.arguments, ast.arg, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.comprehension, ast.Starred),
)
_BEYOND = "is beyond the grammar of expressions"


class Names:
    """What the names of a bundle's expressions stand for.

    Args:
        allowed: what they may stand for.
        imports: modules and their contents by the names that the bundle's configs import them by.
    """

    def __init__(self, allowed: Allowed, imports: Mapping[str, str]) -> None:
        self.allowed = allowed
        self.imports = {**GLOBALS, **imports}

    def dotted(self, node: ast.AST) -> str | None:
        """The full name of what an attribute chain reads from a module; None where it starts at anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.imports:
            return ".".join([self.imports[node.id], *reversed(parts)])
        return None


def import_of(text: str) -> ast.Import | ast.ImportFrom | None:
    """The statement of a value that MONAI imports by; None where it is none."""
    try:
        body = ast.parse(text[1:]).body if len(text) <= _LONGEST else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body[0] if body and isinstance(body[0], ast.Import | ast.ImportFrom) else None


def reference_fault(text: str) -> str | None:
    """Why the references of an absolute text can't be judged."""
    for found in references_in(text):
        parts = found.split("::")
        if found == "":
            return "refers to the whole config"
        if "imports" in parts:
            return "hands on a module that was imported"
        if "_meta_" in parts:
            return "refers to the metadata, which may hold the like"
        if guarded := {*parts} & {*GUARDED}:
            return f"uses {min(guarded)} otherwise than our own bundles do"
    return None


def expression_faults(text: str, key: str, names: Names) -> list[str]:
    """Why a ``$`` expression is not known to be harmless; empty where it is.

    Args:
        text: as it stands in the config.
        key: its place, parts separated by ``#``.
        names: what its names stand for.
    """
    if len(text) > _LONGEST:
        return [f"is longer than {_LONGEST} characters"]
    if REFERENCES in unicodedata.normalize("NFKC", text):  # as Python reads names
        return [f"names MONAI's {REFERENCES}"]
    try:
        resolved = absolute(text, key)
        body = ast.parse(substituted(resolved)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [f"can't be parsed ({' '.join(str(error).split())})"]
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        return ["is no single expression"]
    fault = reference_fault(resolved)
    judge = _Judge(names)
    return [*([fault] if fault else []), *dict.fromkeys(judge.faults(body[0].value))]


class _Judge:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.bound: set[str] = set()

    def faults(self, tree: ast.AST) -> Iterator[str]:
        nodes = list(ast.walk(tree))
        self.bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
        self.bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        hidden = {name for name in self.bound if hasattr(builtins, name) or name in self.names.imports}
        yield from (f"hides {name} by a name of its own" for name in sorted(hidden))
        yield from (f"binds {name}" for name in sorted(self.bound) if name.startswith("_"))
        yield from self._visit(tree)

    def _visit(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.Name):
            yield from self._name(node)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif _is_reference(node):
            pass
        elif isinstance(node, (ast.Subscript, *_PLAIN)):
            yield from self._visit_all(ast.iter_child_nodes(node))
        else:
            yield f"{type(node).__name__} {_BEYOND}"

    def _visit_all(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            yield from self._visit(node)

    def _constant(self, node: ast.Constant) -> Iterator[str]:
        if isinstance(node.value, str | bytes) and "__" in str(node.value):
            yield "holds text with __"

    def _name(self, node: ast.Name) -> Iterator[str]:
        if node.id in self.bound or node.id in _BUILTINS:
            return
        dotted = self.names.imports.get(node.id)
        if dotted is None:
            yield f"names {node.id}"
        elif not self.names.allowed.name(dotted):
            yield f"hands on {dotted}"

    def _attribute(self, node: ast.Attribute) -> Iterator[str]:
        dotted = self.names.dotted(node)
        if dotted is not None:
            if not self.names.allowed.name(dotted):
                yield f"uses {dotted}"
            return
        if not self.names.allowed.attribute(node.attr):
            yield f"reads the attribute {node.attr}"
        yield from self._visit(node.value)

    def _call(self, node: ast.Call) -> Iterator[str]:
        if isinstance(node.func, ast.Name):
            if node.func.id in self.bound:
                yield f"calls {node.func.id}, which may be anything"
            yield from self._name(node.func)
        elif isinstance(node.func, ast.Attribute):
            yield from self._attribute(node.func)
        elif not _is_reference(node.func):
            yield f"a call of {type(node.func).__name__} {_BEYOND}"
            yield from self._visit(node.func)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("_") or keyword.arg in PLAIN:
                yield f"the argument {keyword.arg or '**'} {_BEYOND}"
            yield from self._visit(keyword.value)
        yield from self._visit_all(node.args)


def _is_reference(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == REFERENCES
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.ctx, ast.Load)
    )
