"""Floor 4: which engines have an inner loop of their own, on which MONAI's handlers and metrics work?"""

from monai_patchgrow.engines.patchgd import PatchGDEvaluator, PatchGDTrainer

__all__ = ["PatchGDEvaluator", "PatchGDTrainer"]
