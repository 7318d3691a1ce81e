"""Checks a config before anything of it is evaluated: unknown keys, references to nothing, targets that are not there.

It needs MONAI alone: bundles have a copy, for where the package is not installed. Checked with MONAI 1.6.1.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import pydoc
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from .program_choice import choose_program

__all__ = ["check_keys", "find_fault"]

_COMPONENT = {"_target_", "_disabled_", "_requires_", "_desc_", "_mode_"}
_MONAI = {
    *("bundle_root", "imports", "initialize", "run", "finalize", "workflow_type", "_meta_"),
    *("tracking", "execute_config", "displayable_configs"),  # MONAI Label's and earlier MONAI's
    *(key for settings in DEFAULT_EXP_MGMT_SETTINGS.values() for key in settings["configs"]),
}
_PROGRAM = {"initialize", "run", "finalize"}  # a config without any of them only sets keys
_HOW_TO = {"dynamic_network_architectures": ": pip install --no-deps dynamic-network-architectures"}

Names = tuple[str, ...]


def check_keys(callers: Iterable[object], *, stop: Callable[[str], Any] | None = None) -> None:
    """Check the config that is being evaluated, and choose its program (see `choose_program`).

    Args:
        callers: objects among which is the config's :class:`ConfigParser` and, where one runs, its workflow.
        stop: raises the line that tells the fault; by default a ValueError does.

    Raises:
        ValueError: a fault, in one line that names the key.
    """
    found = list(callers)
    parser: Any = next(caller for caller in found if isinstance(caller, ConfigParser))
    workflow: Any = next((caller for caller in found if isinstance(caller, ConfigWorkflow)), None)
    folders = [Path("configs") if workflow is None else workflow.config_root_path]
    if not str(root := parser.get("bundle_root", "$")).startswith(("$", "@")):
        folders.append(Path(root) / "configs")
    fault = None if workflow is None else choose_program(workflow, parser.get())
    more = () if workflow is None else (workflow.init_id, workflow.run_id, workflow.final_id)
    if fault := fault or find_fault(parser.get(), folders, accepted=more, locator=parser.locator):
        raise (stop or ValueError)(fault)


def find_fault(
    config: Mapping[str, Any], folders: Sequence[Path], *, accepted: Iterable[str] = (), locator: Any = None
) -> str | None:
    """Return what is wrong with a config's keys, references and targets, in one line; None where all is well.

    A key is known where a config file that belongs to the running config has it, where something refers to it
    (``@key``), or where MONAI reads it. A component's keys (beside ``_target_``) are those of its target's signature.

    Args:
        config: macros resolved, nothing evaluated, as ``ConfigParser.parse`` leaves it.
        folders: where the bundle's config files lie.
        accepted: further keys that are known.
        locator: of the parser, which has listed MONAI's components already.

    >>> find_fault({"max_epochs": 2, "run": "$@max_epoch"}, [])
    'run refers to @max_epoch, which the config does not have: did you mean max_epochs?'
    >>> find_fault({"data": {"_target_": "DataLoader", "dataset": [1], "bach_size": 1}, "run": "$@data"}, [])
    'unknown key data#bach_size: did you mean data#batch_size?'
    """
    keys = _Keys(config, _files(folders), accepted)
    faults = (keys.unknown(), _missing(config), _circle(config), _components(config, locator))
    return next((fault for found in faults for fault in found), None)


class _Keys:
    """The keys of a running config, and which of them anybody knows."""

    def __init__(self, config: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], accepted: Iterable[str]):
        self.config, self.accepted = config, {*_MONAI, *accepted}
        self.references = {tuple(ReferenceResolver.split_id(name)) for _, name in _references(config)}
        programs = [file for file in files.values() if set(file) <= set(config) and set(file) & _PROGRAM]
        # An override may give the config all keys of another program of the bundle: `run` tells which one it is.
        runs = [str(file.get("run")).replace("#", "::") == str(config.get("run")) for file in programs]
        self.own = [file for file, is_run in zip(programs, runs, strict=True) if is_run] or programs
        self.others = {name: one for name, one in files.items() if one in programs or not set(one) <= set(config)}

    def unknown(self) -> Iterator[str]:
        """Yield a line for each key that nobody knows."""
        if self.own:
            yield from self._unknown_in(self.config, (), self.own)

    def _unknown_in(self, node: Any, path: Names, own: Sequence[Any]) -> Iterator[str]:
        is_section = isinstance(node, dict) and "_target_" not in node
        known = {str(key) for one in own if isinstance(one, dict) for key in one}
        for key, child in _children(node):
            place = (*path, key)
            if is_section and own and key not in known and not self._is_read(place, child, own):
                yield f"unknown key {'#'.join(place)}: {self._hint(place, known)}"
            if key != "_meta_":
                yield from self._unknown_in(child, place, [c for one in own for k, c in _children(one) if k == key])

    def _is_read(self, place: Names, child: Any, own: Sequence[Any]) -> bool:
        """Whether something reads a key that no file has."""
        path, key = place[:-1], place[-1]
        if key in _COMPONENT or (not path and key in self.accepted):
            return True
        if any(one[: len(place)] == place for one in self.references):
            return True
        components = [node for _, node in _nodes(self.config) if any(_is_component(part) for _, part in _nodes(node))]
        if components.count(child) > 1:
            return True  # the source of a macro, %key, which MONAI has copied to its place
        if any(_is_component(one) for section in own for _, one in _children(section)) and not _is_component(child):
            return False
        return any(path[: len(one)] == one for one in self.references) or not self._reads_children(path)

    def _reads_children(self, path: Names) -> bool:
        """Whether a section's keys are read one by one, as ``@train#dataset``."""
        return any(len(one) > len(path) and one[: len(path)] == path for one in self.references)

    def _hint(self, place: Names, known: Iterable[str]) -> str:
        name = "#".join(place)
        if files := [file for file, content in self.others.items() if name in content]:
            return f"it belongs to {files[0]}, which this run does not read"
        if close := difflib.get_close_matches(place[-1], known, 1):
            return f"did you mean {'#'.join((*place[:-1], close[0]))}?"
        if places := [path for path in self.references if path[-1] == place[-1]]:
            return f"did you mean {'#'.join(sorted(places, key=len)[0])}?"
        return "the bundle's config does not have it, and nothing refers to it"


def _missing(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each reference to a key that is not there."""
    paths = {"::".join(path) for path, _ in _nodes(config)}
    for place, name in _references(config):
        if name not in paths:
            close = difflib.get_close_matches(name, sorted(paths), 1)
            hint = f": did you mean {close[0].replace('::', '#')}?" if close else ""
            yield f"{'#'.join(place)} refers to @{name.replace('::', '#')}, which the config does not have{hint}"


def _circle(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line where keys refer to each other in a circle."""
    nodes = {"::".join(path): node for path, node in _nodes(config) if path}
    try:
        TopologicalSorter({name: ReferenceResolver.find_refs_in_config(nodes[name], name) for name in nodes}).prepare()
    except CycleError as error:
        yield f"these keys refer to each other in a circle: {', '.join(error.args[1]).replace('::', '#')}"


def _components(config: Mapping[str, Any], locator: Any) -> Iterator[str]:
    """Yield a line for each component whose target is not there, or does not take its arguments."""
    for path, node in _nodes(config):
        if not _is_component(node) or str(node.get("_disabled_")).lower() == "true" or path[:1] == ("_meta_",):
            continue
        name, target, found = "#".join(path), node["_target_"], None
        if not isinstance(target, str) or target.startswith(("$", "@")):
            continue  # it is known only when it is evaluated
        with warnings.catch_warnings(), contextlib.suppress(pydoc.ErrorDuringImport):
            warnings.simplefilter("ignore")  # of several components of that name; MONAI says so itself
            found = pydoc.locate(ConfigComponent(node, locator=locator).resolve_module_name())
        if found is None:
            how_to = _HOW_TO.get(target.partition(".")[0], "")
            yield f"{name}#_target_: neither MONAI nor an installed package has {target}{how_to}"
        elif callable(found) and node.get("_mode_", "default") == "default":
            yield from _arguments(name, node, found)


def _arguments(name: str, component: Mapping[str, Any], target: Callable[..., Any]) -> Iterator[str]:
    if (parameters := _parameters(target)) is None:
        return
    for key in component.keys() - parameters.keys() - _COMPONENT:
        close = difflib.get_close_matches(key, parameters, 1)
        takes = f"did you mean {name}#{close[0]}?" if close else f"{component['_target_']} takes no such argument"
        yield f"unknown key {name}#{key}: {takes}"
    needed = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    if missing := [key for key in needed if key not in component]:
        yield f"{name}: {component['_target_']} needs {', '.join(missing)}"


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """Parameters by name; what a class takes as ``**kwargs`` are its base's. None: any, or not known."""
    kinds = target.__mro__ if isinstance(target, type) else ()
    makers = [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)]
    found: dict[str, inspect.Parameter] = {}
    for maker in [target, *makers[1:]]:
        try:
            parameters = inspect.signature(maker).parameters.values()
        except (TypeError, ValueError):
            return None
        named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        inherited = [one.replace(default=None) for one in named if one.name not in found and one.name != "self"]
        found |= {one.name: one for one in (named if maker is target else inherited)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return found
    return None


def _files(folders: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """The config files of the folders by name, but for metadata and for what can't be read."""
    files: dict[str, Mapping[str, Any]] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.*"))):
        if re.match(ConfigParser.path_match, path.name) and path.name != "metadata.json":
            with contextlib.suppress(Exception):  # the bundle's own files are sound; others may be drafts
                files[path.name] = _nested(ConfigParser.load_config_file(path))
    return files


def _nested(file: Mapping[str, Any]) -> dict[str, Any]:
    """The file with its keys of several parts, ``a#b``, as sections."""
    tree: dict[str, Any] = {}
    for key, value in file.items():
        *sections, last = ReferenceResolver.split_id(key.removeprefix("+"))
        node = tree
        for section in sections:
            node = node.setdefault(section, {}) if isinstance(node.get(section, {}), dict) else {}
        node[last] = value
    return tree


def _children(node: Any) -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [(str(key), child) for key, child in node.items()]
    return [(str(number), child) for number, child in enumerate(node)] if isinstance(node, list) else []


def _nodes(node: Any, path: Names = ()) -> Iterator[tuple[Names, Any]]:
    yield path, node
    for key, child in _children(node):
        yield from _nodes(child, (*path, key))


def _references(config: Any) -> Iterator[tuple[Names, str]]:
    """Yield the place and the id of each reference."""
    for path, node in _nodes(config):
        if isinstance(node, str) and path[:1] != ("_meta_",):
            for name in ReferenceResolver.match_refs_pattern(node):
                yield path, name


def _is_component(node: Any) -> bool:
    return isinstance(node, dict) and "_target_" in node
