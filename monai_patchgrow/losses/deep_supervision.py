"""MONAI's loss over the heads of a network, without a copy from the CPU in each iteration."""

from __future__ import annotations

from collections.abc import Sequence

import monai.losses
from torch import Tensor

__all__ = ["DeepSupervisionLoss"]


class DeepSupervisionLoss(monai.losses.DeepSupervisionLoss):
    """The weighted sum of a loss over the heads of a network, to the bit that of MONAI's class of this name.

    MONAI's begins its sum with a zero that it makes on the CPU and copies: a GPU is waited for in each iteration, and
    the iteration can't be recorded as a CUDA graph.

    Shape:
        input: ``(B, K, *spatial)``, or one such tensor per head, the finest first; target ``(B, 1, *spatial)``.

    >>> import torch
    >>> from monai.losses import DiceLoss
    >>> logits, target = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    >>> loss = DeepSupervisionLoss(DiceLoss(to_onehot_y=True, softmax=True), weights=[0.75, 0.25])
    >>> bool(loss([logits, logits], target) == loss(logits, target))
    True
    """

    def forward(self, input: Tensor | Sequence[Tensor] | None, target: Tensor) -> Tensor:
        """The loss of all heads, a scalar in float32."""
        if not isinstance(input, list | tuple):
            return super().forward(input, target)
        weights = self.get_weights(levels=len(input))
        return sum(
            weight * self.get_loss(logits.float(), target) for weight, logits in zip(weights, input, strict=True)
        )
