"""Progressive growing of patch size and patch gradient descent for MONAI, as Ignite handlers and bundles."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_patchgrow.engines.patchgd import PatchGDEvaluator, PatchGDTrainer
    from monai_patchgrow.handlers.patch_growth import PatchGrowth
    from monai_patchgrow.schedules.plan import GrowthSchedule
    from monai_patchgrow.state.patch_size import PatchCount, PatchSize

__all__ = [
    "GrowthSchedule",
    "PatchCount",
    "PatchGDEvaluator",
    "PatchGDTrainer",
    "PatchGrowth",
    "PatchSize",
    "__version__",
]

__version__ = "0.1.0"

# Names and floors are resolved on first use, so that `patchgrow plan` and the schedules never wait for torch.
_HOMES = {
    "GrowthSchedule": "monai_patchgrow.schedules.plan",
    "PatchCount": "monai_patchgrow.state.patch_size",
    "PatchGDEvaluator": "monai_patchgrow.engines.patchgd",
    "PatchGDTrainer": "monai_patchgrow.engines.patchgd",
    "PatchGrowth": "monai_patchgrow.handlers.patch_growth",
    "PatchSize": "monai_patchgrow.state.patch_size",
}
_FLOORS = (
    "schedules",
    "state",
    "losses",
    "metrics",
    "transforms",
    "data",
    "networks",
    "handlers",
    "engines",
    "bundle",
    "tools",
)


def __getattr__(name: str) -> Any:
    if name in _FLOORS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
