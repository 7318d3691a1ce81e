"""Progressive growing of patch size and patch gradient descent for MONAI, as Ignite handlers and bundles.

The names stand in ``__init__.pyi`` and are resolved on first use: `patchgrow plan` and the schedules never wait for
torch.
"""

from lazy_loader import attach_stub

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

__getattr__, __dir__, _ = attach_stub(__name__, __file__)
