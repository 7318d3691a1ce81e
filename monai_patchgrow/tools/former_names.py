"""Modules that the JSON of bundles of version 0.1.0 names under `tools`, and where their content lives now."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

__all__ = ["keep_former_names"]

_HOMES = {
    "classification_data": "monai_patchgrow.bundle.patchgd.data",
    "patchgd_images": "monai_patchgrow.bundle.patchgd.images",
    "patchgd_inference": "monai_patchgrow.bundle.patchgd.inference",
    "patchgd_network": "monai_patchgrow.bundle.patchgd.network",
    "patchgd_preflight": "monai_patchgrow.bundle.patchgd.preflight",
    "patchgd_settings": "monai_patchgrow.bundle.patchgd.version_0_1",
    "patchgd_turns": "monai_patchgrow.bundle.patchgd.version_0_1",
    "preflight": "monai_patchgrow.bundle.version_0_1",
    "ranks": "monai_patchgrow.bundle.ranks",
}


class _FormerModule(ModuleType):
    """A module by its former name; it imports the one that holds its content when something of it is asked for."""

    def __init__(self, name: str, home: str) -> None:
        super().__init__(name, f"Formerly; see {home}.")
        self._home = home

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        warnings.warn(f"{self.__name__} is {self._home} now", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(self._home), name)


def keep_former_names(package: ModuleType) -> None:
    """Let `package`'s former modules be imported as before.

    Args:
        package: `monai_patchgrow.tools`.
    """
    for name, home in _HOMES.items():
        module = _FormerModule(f"{package.__name__}.{name}", home)
        # Where importing the parent leaves a module of that name, Python takes it.
        sys.modules.setdefault(module.__name__, module)
        setattr(package, name, module)
