"""The mean of a loss over those voxels of a batch that are annotated, over all ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_patchgrow.internals.torch import Loss
from monai_patchgrow.losses.batch_dice import sum_over_ranks

__all__ = ["AnnotatedMean"]


class AnnotatedMean(Loss):
    """The sum of losses over annotated voxels, by the number of these voxels in the batch of all ranks; 0 without any.

    The mean of the ranks' gradients, which DistributedDataParallel takes, is that of the whole batch, however the
    annotated voxels lie. No device is awaited.

    Shape:
        losses ``(B, C, *spatial)``, summed over C; annotated ``(B, 1, *spatial)``, 1 or 0; a scalar.

    >>> losses, annotated = torch.tensor([[[4.0, 2.0, 7.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    >>> AnnotatedMean()(losses, annotated)
    tensor(3.)
    """

    batch = True  # a patch with few annotated voxels counts less than another: no mean over patches

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The mean of `input` where `target` is 1."""
        total, count = sum_over_ranks(torch.stack([(input * target).sum(), target.sum().to(input.dtype)]))
        return total / count.clamp(min=1)
