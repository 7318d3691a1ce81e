"""Loads the modules of monai_patchgrow that the bundle has a copy of, in folder patchgrow: they need MONAI alone."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["carried"]


def carried(name: str) -> ModuleType:
    """The bundle's own copy of a module, whatever version of the package may be installed.

    Args:
        name: of a file in the folder patchgrow, without its suffix.
    """
    folder = Path(__file__).resolve().with_name("patchgrow")
    package = f"patchgrow_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"  # one process may load two bundles
    if package not in sys.modules:
        start = folder / "__init__.py"
        spec = importlib.util.spec_from_file_location(package, start, submodule_search_locations=[str(folder)])
        assert spec is not None and spec.loader is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    return importlib.import_module(f"{package}.{name}")
