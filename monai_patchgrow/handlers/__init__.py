"""Floor 3: the Ignite handlers."""

from monai_patchgrow.handlers.checkpoint import BestWeights, ResumableRun
from monai_patchgrow.handlers.gradient_clipping import GradientClipping
from monai_patchgrow.handlers.patch_growth import PatchGrowth
from monai_patchgrow.handlers.progress import GrowthProgress
from monai_patchgrow.handlers.reproducibility import Reproducibility
from monai_patchgrow.handlers.run_log import RunLog
from monai_patchgrow.handlers.throughput import Throughput

__all__ = [
    "BestWeights",
    "GradientClipping",
    "GrowthProgress",
    "PatchGrowth",
    "Reproducibility",
    "ResumableRun",
    "RunLog",
    "Throughput",
]
