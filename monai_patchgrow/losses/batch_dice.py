"""Batch Dice of a batch that is split over ranks."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from monai.losses import DiceLoss
from monai.losses.utils import compute_tp_fp_fn
from monai.networks.utils import one_hot
from torch import Tensor

from monai_patchgrow.internals.torch import Loss

__all__ = ["BatchDiceOverRanks", "sum_over_ranks"]


class BatchDiceOverRanks(Loss):
    """What ``DiceLoss(batch=True)`` of the batch of all ranks is, on each rank from its own part of it.

    Args:
        loss: the loss whose settings are taken over.

    Shape:
        prediction ``(B, K, *spatial)``, target ``(B, 1, *spatial)`` or ``(B, K, *spatial)``; a scalar, the same on
        every rank, whose gradients DistributedDataParallel averages to those of the whole batch.

    Raises:
        ValueError: a loss with a setting that is not known here.

    >>> loss, prediction = DiceLoss(softmax=True, to_onehot_y=True, batch=True), torch.rand(2, 3, 8, 8)
    >>> target = torch.randint(3, (2, 1, 8, 8))
    >>> bool(BatchDiceOverRanks(loss)(prediction, target).isclose(loss(prediction, target)))
    True
    """

    def __init__(self, loss: DiceLoss) -> None:
        super().__init__()
        settings = {
            "weight": loss.class_weight is not None,
            "other_act": loss.other_act is not None,
            "ignore_index": loss.ignore_index is not None,
            "reduction": loss.reduction != "mean",
            "batch": not loss.batch,
        }
        if unknown := [name for name, is_set in settings.items() if is_set]:
            raise ValueError(f"batch Dice over several ranks is made without weights and the like, got {unknown}")
        self.loss = loss

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of the whole batch."""
        prediction, truth = self._compared(input, target)
        spatial = list(range(2, prediction.ndim))
        order = 2 if self.loss.squared_pred else 1
        counts = compute_tp_fp_fn(prediction, truth, [0, *spatial], order, self.loss.soft_label)
        both, falsely, missed = sum_over_ranks(torch.stack(counts))
        others = (falsely + missed) * (1.0 if self.loss.jaccard else 0.5)
        dice = (2 * both + self.loss.smooth_nr) / (2 * (both + others) + self.loss.smooth_dr)
        return (1 - dice).mean()

    def _compared(self, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and truth of the classes that count, ``(B, K, *spatial)``."""
        classes = input.shape[1]
        if self.loss.sigmoid:
            input = torch.sigmoid(input)
        elif self.loss.softmax and classes > 1:
            input = torch.softmax(input, 1)
        if self.loss.to_onehot_y and classes > 1:
            target = one_hot(target, num_classes=classes)
        first = int(not self.loss.include_background and classes > 1)
        return input[:, first:], target[:, first:]


def sum_over_ranks(local: Tensor) -> Tensor:
    """The sum over all ranks; its gradient is that of this rank's part times the number of ranks.

    So DistributedDataParallel, which averages over ranks, ends on the gradient of the sum, and the backward pass has
    nothing to exchange.
    """
    total = idist.all_reduce(local.detach().clone())
    return total + idist.get_world_size() * (local - local.detach())
