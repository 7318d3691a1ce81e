"""Inspects a bundle as a whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath

from monai_patchgrow.tools.inspect.archives import ZIP_ERRORS
from monai_patchgrow.tools.inspect.config_text import SUFFIXES, Config
from monai_patchgrow.tools.inspect.configs import judge_configs, large_file_faults
from monai_patchgrow.tools.inspect.contents import Contents
from monai_patchgrow.tools.inspect.entries import Entry, bundle_entries, open_file
from monai_patchgrow.tools.inspect.report import Finding, Report
from monai_patchgrow.tools.inspect.targets import Allowed

__all__ = ["inspect_bundle"]

_FILES = ("args_file", "config_file", "logging_file", "meta_file", "properties_path", "tracking")
"""Keys by which a config or a file of arguments names other files."""


def inspect_bundle(
    bundle: str | os.PathLike[str], *, allow: Sequence[str] = (), beside: Sequence[str | os.PathLike[str]] = ()
) -> Report:
    """Read a bundle, without running, importing or unpickling anything of it, and say what is not known to be harmless.

    Args:
        bundle: its folder or zip archive.
        allow: dotted names of packages, classes or functions that its configs may use beside the known ones.
        beside: config files out of the bundle that are run with it.

    Raises:
        ValueError: it is no bundle.
        OSError: a file of `beside` can't be read.
    """
    contents = Contents()
    with bundle_entries(bundle) as (entries, found):
        contents.findings += found
        for entry in [*entries, *(_beside(path) for path in beside)]:
            try:
                with entry.open() as stream:
                    contents.look(entry.name, stream)
            except ZIP_ERRORS as error:
                contents.findings.append(Finding(entry.name, "", str(error), "can't be read: another reader may"))
    allowed = Allowed.with_prefixes(allow)
    names = {entry.name for entry in entries}
    findings = [
        *contents.findings,
        *judge_configs(contents.configs, allowed),
        *(found for config in contents.configs for found in _named_files(config, names)),
        *_downloads(contents.configs),
        *_unsealed(contents),
    ]
    kinds = ("configs", "scripts", "weights", "others")
    return Report(str(bundle), tuple(sorted(set(findings))), {kind: contents.counts[kind] for kind in kinds})


def _beside(path: str | os.PathLike[str]) -> Entry:
    return Entry(str(path), partial(open_file, path))


def _named_files(config: Config, names: set[str]) -> list[Finding]:
    """Files that a config names for MONAI to read, and that no config or logging.conf of this bundle is."""
    found = []
    for node in config.nodes:
        keys = {node.name, node.key.rpartition("#")[0].rpartition("#")[2]}
        if not keys & {*_FILES} or not isinstance(node.value, str) or node.value == "mlflow":
            continue
        inside = [name for name in names if node.value.replace("\\", "/").removeprefix("./").endswith(name)]
        if not any(name.lower().endswith((*SUFFIXES, ".conf", ".ini", ".cfg")) for name in inside):
            found.append(Finding(config.file, node.key, node.value, "names a file that was not inspected as a config"))
    return found


def _downloads(configs: Sequence[Config]) -> list[Finding]:
    files = [config for config in configs if PurePosixPath(config.file).stem == "large_files"]
    return [found for config in files for found in large_file_faults(config)]


def _unsealed(contents: Contents) -> list[Finding]:
    why = "weights without sha256: none is sealed in the file, and no text of the bundle says this one"
    missing = {name: digest for name, digest in contents.weights.items() if digest and digest not in contents.digests}
    return [Finding(name, "", digest, why) for name, digest in missing.items()]
