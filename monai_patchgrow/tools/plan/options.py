"""What nnU-Net is asked for, and by which interpreter."""

from __future__ import annotations

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from monai_patchgrow.data.loading.usable_cpus import usable_cpus
from monai_patchgrow.schedules.arguments import parse_int

__all__ = ["CONFIGURATIONS", "PRESETS", "PlanOptions"]

PRESETS = {
    "default": "ExperimentPlanner",
    "ResEncM": "nnUNetPlannerResEncM",
    "ResEncL": "nnUNetPlannerResEncL",
    "ResEncXL": "nnUNetPlannerResEncXL",
}
"""nnU-Net's planners by the names of its presets."""

_OWN_GIB = {"default": 8.0, "ResEncM": 8.0, "ResEncL": 24.0, "ResEncXL": 40.0}
"""Memory that nnU-Net 2.8's planners plan for by themselves."""

CONFIGURATIONS = ("3d_fullres", "3d_lowres", "2d")
"""nnU-Net's configurations that a bundle can have."""

_PYTHON_VARIABLE = "PATCHGROW_NNUNET_PYTHON"
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gib|gb|g)?", re.IGNORECASE)
_MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is planned, and how.

    memory: of the GPU, GiB, as 8 or "8GiB"; None: the planner's own.
    preset: one of `PRESETS`.
    configuration: one of `CONFIGURATIONS`.
    python: interpreter that has nnunetv2; None: the one that the variable PATCHGROW_NNUNET_PYTHON names, or this one.
    cache_dir: keeps fingerprints and plans; None: monai_patchgrow in the user's cache folder.
    num_workers: processes that read images, each one case; None: one per core, at most 8.

    Raises:
        ValueError: any other memory, preset, configuration or number.

    >>> PlanOptions(memory="8GiB").gib
    8.0
    """

    memory: float | str | None = None
    preset: str = "default"
    configuration: str = "3d_fullres"
    python: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    num_workers: int | None = None

    def __post_init__(self) -> None:
        for key, known in (("preset", tuple(PRESETS)), ("configuration", CONFIGURATIONS)):
            if getattr(self, key) not in known:
                raise ValueError(f"{key} must be one of {', '.join(known)}, got {getattr(self, key)!r}")
        if self.memory is not None and not (_MEMORY.fullmatch(str(self.memory)) and 0 < self._amount < math.inf):
            raise ValueError(f"memory must be GiB of the GPU, as 8GiB, got {self.memory!r}")
        if self.num_workers is not None:
            parse_int(self.num_workers, name="num_workers")

    @property
    def _amount(self) -> float:
        return float(_MEMORY.sub(r"\1", str(self.memory)))

    @property
    def gib(self) -> float | None:
        """The memory as a number."""
        return None if self.memory is None else self._amount

    @property
    def target_gib(self) -> float:
        """The memory that is planned for, GiB, where it is the planner's own too."""
        return _OWN_GIB[self.preset] if self.gib is None else self.gib

    @property
    def planner(self) -> str:
        """The name of nnU-Net's class."""
        return PRESETS[self.preset]

    @property
    def interpreter(self) -> str:
        """Path or name of the interpreter."""
        return self.python or os.environ.get(_PYTHON_VARIABLE) or sys.executable

    @property
    def cache(self) -> Path:
        """The folder that keeps fingerprints and plans."""
        if self.cache_dir is not None:
            return Path(self.cache_dir)
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_patchgrow" / "plans"

    @property
    def workers(self) -> int:
        """How many processes read images."""
        return min(_MOST_WORKERS, usable_cpus()) if self.num_workers is None else self.num_workers
