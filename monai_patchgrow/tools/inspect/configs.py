"""Judges the configs of a bundle: what they name, import, evaluate, and take from elsewhere."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from monai_patchgrow.tools.inspect.config_text import Config, Node
from monai_patchgrow.tools.inspect.expressions import (
    Names,
    expression_faults,
    import_of,
    reference_fault,
)
from monai_patchgrow.tools.inspect.plain_keys import PLAIN
from monai_patchgrow.tools.inspect.references import absolute
from monai_patchgrow.tools.inspect.report import Finding
from monai_patchgrow.tools.inspect.targets import Allowed
from monai_patchgrow.tools.inspect.vocabulary import GLOBALS, GUARDED

__all__ = ["judge_configs", "large_file_faults"]

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def judge_configs(configs: Sequence[Config], allowed: Allowed) -> list[Finding]:
    """What the configs of one bundle hold that is not known to be harmless.

    They are judged together, as a run may merge them in any order.
    """
    judge = _Judge(allowed)
    findings = [found for config in configs for found in judge.collect_imports(config)]
    names = Names(allowed, judge.imports)
    uses_scripts = any(node.value in judge.verbatim for config in configs for node in _texts(config))
    for config in configs:
        for node in config.nodes:
            faults = [*judge.faults(node, names), *(judge.guarded(node) if uses_scripts else ())]
            findings += [Finding(config.file, node.key, what, why) for what, why in faults]
    return findings


class _Judge:
    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed
        self.imports: dict[str, str] = {}
        self.verbatim = allowed.vocabulary.verbatim

    def collect_imports(self, config: Config) -> Iterator[Finding]:
        """Learn what names the config imports; a fault of an import is a finding."""
        for node in _texts(config):
            statement = import_of(node.value) if node.value.startswith("$") else None
            if statement is not None:
                for why in self._import_faults(statement, node):
                    yield Finding(config.file, node.key, node.value, why)

    def _import_faults(self, statement: ast.Import | ast.ImportFrom, node: Node) -> Iterator[str]:
        if node.key.partition("#")[0] != "imports":
            yield "imports outside of imports"
        first, is_content = statement.names[0], isinstance(statement, ast.ImportFrom)
        full = f"{'.' * statement.level}{statement.module}.{first.name}" if is_content else first.name  # type: ignore[union-attr]
        if len(ast.parse(node.value[1:]).body) > 1 or len(statement.names) > 1:
            yield "imports more than one name"
        if not (self.allowed.module(full) or (is_content and self.allowed.name(full))):
            yield f"imports {full}"
        alias = first.asname or first.name
        known = {**{name: name for name in self.allowed.modules}, **GLOBALS, **self.imports}
        if hasattr(builtins, alias) or alias.startswith("_") or known.get(alias, full) != full:
            yield f"gives the name {alias} to {full}"
        if "." not in alias:
            self.imports.setdefault(alias, full)

    def faults(self, node: Node, names: Names) -> Iterator[tuple[str, str]]:
        """What stands at a node, and why it isn't known."""
        value = node.value
        if node.name == "_target_":
            yield from self._target_faults(node)
        elif node.name == "_mode_":
            if node.is_apart or "_target_" not in node.siblings or value not in ("default", "callable"):
                yield str(value), "another mode than default and callable, or one apart from its _target_"
        elif node.name in PLAIN:
            yield from _plain_faults(node)
        if isinstance(value, dict) and value.get("_mode_", "default") != "default":
            target = value.get("_target_")
            if isinstance(target, str) and not self.allowed.callable_target(target):
                yield target, "is handed on uncalled, though it finds code by the text that it is given"
        if isinstance(value, str) and node.name != "_target_":
            yield from ((value, why) for why in self._text_faults(value, node.key, names))

    def _target_faults(self, node: Node) -> Iterator[tuple[str, str]]:
        if not isinstance(node.value, str) or node.value[:1] in ("$", "@", "%"):
            yield str(node.value), "a target must be written as a plain name"
        elif not self.allowed.target(node.value):
            yield node.value, "is no known component"
        elif node.is_apart and not self.allowed.callable_target(node.value):
            yield node.value, "stands apart from its arguments, though it finds code by their text"

    def _text_faults(self, text: str, key: str, names: Names) -> Iterator[str]:
        if text in self.verbatim:
            if ("inspect." in text and key != "callers") or ("runpy." in text and not key.startswith("scripts#")):
                yield "stands elsewhere than in our own bundles"
            return
        if text.startswith("%"):
            yield "takes config from another place (a macro)"
        elif text.startswith("$"):
            if import_of(text) is None:
                yield from expression_faults(text, key, names)
        elif text.startswith("@"):
            try:
                fault = reference_fault(absolute(text, key))
            except ValueError as error:
                fault = str(error)
            if fault:
                yield fault

    def guarded(self, node: Node) -> Iterator[tuple[str, str]]:
        """What may not stand beside expressions that are known as a whole: they rely on other values of ours."""
        first, value = node.key.partition("#")[0], node.value
        is_known = isinstance(value, str) and value in (*self.allowed.vocabulary.bundle_roots, *self.verbatim)
        if first == "bundle_root" and not is_known:
            yield str(value), "is where scripts are run from"
        elif first in GUARDED and not is_known and not (node.key == "scripts" and isinstance(value, dict)):
            yield str(value), "is what scripts and their expressions rely on"


def _plain_faults(node: Node) -> Iterator[tuple[str, str]]:
    is_plain, why = PLAIN[node.name]
    values = node.value if isinstance(node.value, list) else [node.value]
    for value in values:
        if isinstance(value, dict | list) or not is_plain(value):
            yield str(value), why


def _texts(config: Config) -> Iterator[Node]:
    return (node for node in config.nodes if isinstance(node.value, str))


def large_file_faults(config: Config) -> Iterator[Finding]:
    """Downloads of a large_files.yml without a SHA-256, or to a place outside of the bundle."""
    for node in config.nodes:
        if not isinstance(node.value, dict) or "url" not in node.value:
            continue
        path, digest = str(node.value.get("path", "")), str(node.value.get("hash_val", ""))
        if str(node.value.get("hash_type", "")).lower() != "sha256" or not _DIGEST.fullmatch(digest):
            yield Finding(config.file, node.key, path, "a download without sha256")
        if path.startswith(("/", "\\", "~")) or ".." in re.split(r"[/\\]", path) or ":" in path:
            yield Finding(config.file, node.key, path, "is written outside of the bundle")
