"""Floor 2: how good are predictions of whole images, over batches that are split over steps and ranks?"""

from monai_patchgrow.metrics.class_metrics import balanced_accuracy, mean_roc_auc
from monai_patchgrow.metrics.inputs import image_scores
from monai_patchgrow.metrics.label_dice import LabelDice
from monai_patchgrow.metrics.quadratic_kappa import QuadraticKappa

__all__ = ["LabelDice", "QuadraticKappa", "balanced_accuracy", "image_scores", "mean_roc_auc"]
