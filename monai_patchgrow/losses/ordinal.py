"""A loss for grades in an order, by cumulative logits, and the grades and probabilities that such logits stand for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_patchgrow.internals.torch import Loss

__all__ = ["OrdinalLoss", "ordinal_grades", "ordinal_probabilities"]


class OrdinalLoss(Loss):
    """Binary cross entropy of the questions "is the grade above 0?", "above 1?", ..., averaged over them.

    A network of K - 1 outputs learns K grades; being two grades off costs more than one. It is a mean over images.

    Source: Niu et al., Ordinal Regression with Multiple Output CNN for Age Estimation (CVPR 2016), section 3.

    Args:
        num_grades: K; grades count from 0.
        reduction: "mean", "sum" or "none", over images.

    Shape:
        input ``(B, K - 1)``, target ``(B,)`` or ``(B, 1)`` of whole numbers; a scalar, or ``(B,)`` with "none".

    Raises:
        ValueError: fewer than two grades, another number of logits, or a grade outside of 0 to K - 1.

    >>> loss = OrdinalLoss(3)
    >>> float(loss(torch.tensor([[9.0, 9.0]]), torch.tensor([2])).round(decimals=3))
    0.0
    >>> float(loss(torch.tensor([[9.0, 9.0]]), torch.tensor([0])).round(decimals=3))
    9.0
    """

    def __init__(self, num_grades: int, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        if num_grades < 2:
            raise ValueError(f"num_grades must be at least 2, got {num_grades}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
        self.num_grades = num_grades

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits ``(B, K - 1)``."""
        if input.ndim != 2 or input.shape[1] != self.num_grades - 1:
            raise ValueError(
                f"{self.num_grades} grades need {self.num_grades - 1} logits per image, got {tuple(input.shape)}"
            )
        grades = target.flatten()
        if len(grades) != len(input):
            raise ValueError(f"OrdinalLoss needs one grade per image, got {len(grades)} for {len(input)} images")
        if ((grades < 0) | (grades >= self.num_grades)).any():
            raise ValueError(f"grades must be 0 to {self.num_grades - 1}, got {grades.tolist()}")
        thresholds = torch.arange(self.num_grades - 1, device=input.device)
        above = (grades[:, None] > thresholds).to(input.dtype)
        by_image = nn.functional.binary_cross_entropy_with_logits(input, above, reduction="none").mean(1)
        if self.reduction == "none":
            return by_image
        return by_image.sum() if self.reduction == "sum" else by_image.mean()


def ordinal_grades(logits: Tensor) -> Tensor:
    """Return the grade of cumulative logits, how many thresholds they pass in any order: ``(..., K - 1)`` to ``(...)``.

    It is the median of :func:`ordinal_probabilities`, which need not be the most probable grade.

    Source: Niu et al., as :class:`OrdinalLoss`.

    >>> ordinal_grades(torch.tensor([[-1.0, -2.0], [1.0, -0.5], [3.0, 0.5]]))
    tensor([0, 1, 2])
    """
    return (logits > 0).sum(-1)


def ordinal_probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each grade of cumulative logits, ``(..., K - 1)`` to ``(..., K)``.

    Each threshold is a question of its own, and a network may answer "above 1?" with more confidence than "above 0?".
    The probabilities of passing are therefore put in descending order, which leaves the number of passed thresholds,
    the grade, as it is.

    Source: Chernozhukov, Fernandez-Val and Galichon, Quantile and probability curves without crossing (Econometrica
    78, 2010), the monotone rearrangement.

    >>> ordinal_probabilities(torch.logit(torch.tensor([[0.5, 0.25], [0.25, 0.5]])))
    tensor([[0.5000, 0.2500, 0.2500],
            [0.5000, 0.2500, 0.2500]])
    """
    above = logits.float().sigmoid().sort(-1, descending=True).values
    one, zero = torch.ones_like(above[..., :1]), torch.zeros_like(above[..., :1])
    return torch.cat([one, above], -1) - torch.cat([above, zero], -1)
