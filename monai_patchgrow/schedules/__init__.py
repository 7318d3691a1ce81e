"""Floor 0: which patches, how many, in which epochs? Plain integers, no torch."""

from __future__ import annotations

from monai_patchgrow.schedules.curricula import CURRICULA
from monai_patchgrow.schedules.patch_grid import PatchGrid
from monai_patchgrow.schedules.plan import GrowthSchedule
from monai_patchgrow.schedules.stage import Stage
from monai_patchgrow.schedules.warm_up import warm_up_factor

__all__ = ["CURRICULA", "GrowthSchedule", "PatchGrid", "Stage", "warm_up_factor"]
