"""How does Patch Gradient Descent train and evaluate, a few patches at a time?"""

from monai_patchgrow.engines.patchgd.evaluator import PatchGDEvaluator, fill_latent
from monai_patchgrow.engines.patchgd.events import PatchGDEvents, PatchGDState
from monai_patchgrow.engines.patchgd.passes import patchgd_pass
from monai_patchgrow.engines.patchgd.trainer import PatchGDTrainer

__all__ = ["PatchGDEvaluator", "PatchGDEvents", "PatchGDState", "PatchGDTrainer", "fill_latent", "patchgd_pass"]
