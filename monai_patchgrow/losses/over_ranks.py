"""A loss for batches that are split over ranks, unevenly too, as if one process had the whole batch."""

from __future__ import annotations

from copy import deepcopy

import ignite.distributed as idist
import torch
from monai.losses import DiceLoss
from torch import Tensor, nn

from monai_patchgrow.internals.torch import Loss
from monai_patchgrow.losses.annotated_mean import AnnotatedMean
from monai_patchgrow.losses.batch_dice import BatchDiceOverRanks
from monai_patchgrow.losses.patch_mean import is_mean_over_patches, terms_of

__all__ = ["LossOverRanks", "loss_over_ranks"]


def loss_over_ranks(loss: nn.Module) -> nn.Module:
    """Return the loss itself on one rank, :class:`LossOverRanks` of it on several.

    >>> loss = DiceLoss()
    >>> loss_over_ranks(loss) is loss
    True
    """
    return loss if idist.get_world_size() == 1 else LossOverRanks(loss)


class LossOverRanks(nn.Module):
    """Each rank's share of a MONAI loss of the batch of all ranks.

    DistributedDataParallel averages the ranks' gradients with equal weights; what is a mean over patches is weighted
    here with the rank's number of them, and what adds up over the batch (batch Dice, a mean over annotated voxels) is
    added up over the ranks. The mean of the ranks' values is the loss of the whole batch.

    Args:
        loss: a mean over patches, batch Dice, an ``AnnotatedMean``, or a weighted sum of such losses, as ``DiceCELoss``
            and ``DeepSupervisionLoss`` are. It is left as it is.

    Raises:
        ValueError: a loss that is neither, such as a cross entropy with class weights.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        share = _Share()
        self._share = share
        self.loss = _over_ranks(deepcopy(loss), share)

    def forward(self, input: Tensor | list[Tensor], target: Tensor) -> Tensor:
        """The rank's share, a scalar; `input` ``(B, K, *spatial)`` or a list of such, `target` ``(B, 1, *spatial)``."""
        self._share.measure(target)
        return self.loss(input, target)


class _Share:
    """How much more, or less, than an even share of the batch the rank has; 1 where all have as much."""

    weight: Tensor

    def measure(self, target: Tensor) -> None:
        """Ask all ranks; no device is waited for."""
        patches = torch.full((), float(len(target)), device=target.device)
        self.weight = len(target) * idist.get_world_size() / idist.all_reduce(patches)


class _Weighted(Loss):
    def __init__(self, loss: nn.Module, share: _Share) -> None:
        super().__init__()
        self.loss = loss
        self.share = share

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.share.weight * self.loss(input, target)


def _over_ranks(loss: nn.Module, share: _Share) -> nn.Module:
    """The loss with its terms replaced by those over ranks."""
    terms = terms_of(loss)
    for name, term in terms.items():
        setattr(loss, name, _over_ranks(term, share))
    if terms:
        return loss
    if isinstance(loss, AnnotatedMean):
        return loss
    if type(loss) is DiceLoss and loss.batch:
        return BatchDiceOverRanks(loss)
    if not is_mean_over_patches(loss):
        raise ValueError(
            f"a {type(loss).__name__} that is no mean over patches can't be split over ranks: take one with "
            'reduction="mean", without class weights, and batch=True for DiceLoss only'
        )
    return _Weighted(loss, share)
