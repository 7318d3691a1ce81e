"""Floor 2: what is minimised, where a batch is split over ranks, or labels are regions, are ignored, or are grades?"""

from monai_patchgrow.losses.deep_supervision import DeepSupervisionLoss
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.losses.label_map import LabelLoss, label_loss
from monai_patchgrow.losses.ordinal import OrdinalLoss, ordinal_grades
from monai_patchgrow.losses.over_ranks import LossOverRanks, loss_over_ranks
from monai_patchgrow.losses.regression import RegressionLoss, regression_grades

__all__ = [
    "DeepSupervisionLoss",
    "ImageTarget",
    "LabelLoss",
    "LossOverRanks",
    "OrdinalLoss",
    "RegressionLoss",
    "label_loss",
    "loss_over_ranks",
    "ordinal_grades",
    "regression_grades",
]
