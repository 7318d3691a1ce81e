"""Floor 4: engines with an inner loop of their own, on which every MONAI handler and metric works."""

from monai_patchgrow.engines.patchgd import PatchGDEvaluator, PatchGDTrainer

__all__ = ["PatchGDEvaluator", "PatchGDTrainer"]
