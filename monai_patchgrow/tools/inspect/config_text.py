"""Reads JSON and YAML as data, and walks through it as MONAI's config parser does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from monai_patchgrow.tools.inspect.report import Finding

__all__ = ["LONGEST_CONFIG", "SUFFIXES", "Config", "Node", "read_config"]

SUFFIXES = (".json", ".yaml", ".yml")
"""Of files that MONAI takes for configs, in lower case."""

LONGEST_CONFIG = 32 << 20
"""Bytes of a config that is read."""

_MOST_NODES = 100_000
_DEEPEST = 100


@dataclass(frozen=True)
class Node:
    """A value of a config.

    key: its place, parts separated by ``#``, without the ``+`` of a merged key.
    value: of any kind.
    siblings: keys of the object that holds it.
    is_apart: it is set in an object that stands elsewhere, by a key with ``#`` or ``+``.
    is_merged: what it holds is.
    """

    key: str
    value: Any
    siblings: frozenset[str] = frozenset()
    is_apart: bool = False
    is_merged: bool = False

    @property
    def name(self) -> str:
        """The last part of its place."""
        return self.key.rpartition("#")[2]


@dataclass(frozen=True)
class Config:
    """A config's file and its values."""

    file: str
    nodes: tuple[Node, ...]


def read_config(file: str, content: bytes) -> tuple[Config, list[Finding]]:
    """Read a config; what can't be read is a finding.

    Args:
        file: path in the bundle, whose suffix says JSON or YAML.
        content: of the file.
    """
    repeated: list[str] = []
    try:
        text = content.decode("utf-8")
        is_json = file.lower().endswith(".json")
        tree = _read_json(text, repeated) if is_json else _read_yaml(text, repeated)
        nodes = tuple(_walk(tree))
    except (ValueError, RecursionError, MemoryError, ImportError) as error:
        return Config(file, ()), [Finding(file, "", _first_line(error), "can't be read as a config")]
    why = "stands twice in one object: programs differ in which one they take"
    return Config(file, nodes), [Finding(file, "", key, why) for key in repeated]


def _read_json(text: str, repeated: list[str]) -> Any:
    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.extend(_more_than_once(key for key, _ in pairs))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=collect)


def _read_yaml(text: str, repeated: list[str]) -> Any:
    import yaml  # with MONAI's own requirements for YAML configs

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            repeated.extend(_more_than_once(str(key.value) for key, _ in node.value))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise ValueError(_first_line(error)) from None


def _more_than_once(keys: Iterable[str]) -> list[str]:
    return [key for key, number in Counter(keys).items() if number > 1]


def _walk(tree: Any) -> Iterator[Node]:
    """All values of a config, the innermost too.

    Raises:
        ValueError: there are more than any config needs, as where aliases of YAML multiply.
    """
    waiting, count = [Node("", tree)], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > _MOST_NODES or node.key.count("#") > _DEEPEST:
            raise ValueError(f"it has more than {_MOST_NODES} values, or more than {_DEEPEST} in each other")
        yield node
        waiting += _inside(node)


def _inside(node: Node) -> Iterator[Node]:
    """The values that an object or a list holds."""
    prefix = f"{node.key}#" if node.key else ""
    if isinstance(node.value, dict):
        keys = [str(key).replace("::", "#") for key in node.value]
        for key, value in zip(keys, node.value.values(), strict=True):
            is_apart = "#" in key or node.is_merged
            yield Node(f"{prefix}{key.removeprefix('+')}", value, frozenset(keys), is_apart, key.startswith("+"))
    elif isinstance(node.value, list | tuple | set):
        for number, value in enumerate(node.value):
            yield Node(f"{prefix}{number}", value)


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
