"""Floor 2: MONAI's losses, for batches that are split over ranks."""

from monai_patchgrow.losses.over_ranks import LossOverRanks, loss_over_ranks

__all__ = ["LossOverRanks", "loss_over_ranks"]
