"""What is predicted of an image, a class, a grade or a number: its logits, its loss and how it is read off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from monai_patchgrow.losses.ordinal import OrdinalLoss, ordinal_grades, ordinal_probabilities
from monai_patchgrow.losses.regression import RegressionLoss, regression_grades

__all__ = ["ImageTarget"]

_KINDS = ("classes", "grades", "value")


class ImageTarget:
    """A label of an image as network, loss and metrics see it.

    ========  ===========================  ===================  ===================================
    kind      labels                       outputs, K           loss
    ========  ===========================  ===================  ===================================
    classes   0 to num_classes - 1         num_classes          cross entropy
    grades    0 to num_classes - 1         num_classes - 1      :class:`OrdinalLoss`
    value     a number near such a grade   1                    :class:`RegressionLoss`
    ========  ===========================  ===================  ===================================

    Args:
        kind: one of the table.
        num_classes: classes or grades.
        class_weights: of each class in the loss, a mean over images weighted by them; not for "value".

    Raises:
        ValueError: an unknown kind, fewer than two classes, or weights that don't fit.

    >>> target = ImageTarget("grades", 3)
    >>> target.num_outputs, target.decode(torch.tensor([[2.0, -1.0]])).tolist()
    (2, [1])
    """

    def __init__(
        self,
        kind: Literal["classes", "grades", "value"],
        num_classes: int,
        *,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if kind not in _KINDS:
            raise ValueError(f"target must be one of {', '.join(_KINDS)}, got {kind!r}")
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(f"num_classes must be an integer of at least 2, got {num_classes!r}")
        self.kind, self.num_classes = kind, num_classes
        self.class_weights = _parse_weights(class_weights, kind, num_classes)

    @property
    def num_outputs(self) -> int:
        """Logits per image, K."""
        return {"classes": self.num_classes, "grades": self.num_classes - 1, "value": 1}[self.kind]

    def loss(self) -> nn.Module:
        """The loss of logits ``(B, K)`` and labels ``(B,)``."""
        if self.kind == "value":
            return RegressionLoss()
        if self.kind == "classes":
            weight = None if self.class_weights is None else torch.tensor(self.class_weights)
            return nn.CrossEntropyLoss(weight=weight)
        loss = OrdinalLoss(self.num_classes, reduction="mean" if self.class_weights is None else "none")
        return loss if self.class_weights is None else _WeightedByClass(loss, self.class_weights)

    def decode(self, logits: Tensor) -> Tensor:
        """The class or grade of logits ``(..., K)``, ``(...)`` int64.

        Of classes the most probable one, of grades the median of their probabilities, of a value the nearest grade.
        """
        if self.kind == "classes":
            return logits.argmax(-1)
        return ordinal_grades(logits) if self.kind == "grades" else regression_grades(logits, self.num_classes)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probability of each class or grade, ``(..., num_classes)``; of a number there is none: 0 wide."""
        if self.kind == "classes":
            return logits.float().softmax(-1)
        if self.kind == "value":
            return logits.new_zeros((*logits.shape[:-1], 0))
        return ordinal_probabilities(logits)

    def one_hot(self, logits: Tensor) -> Tensor:
        """The decoded class as scores ``(..., num_classes)``, as Ignite's metrics of classes take them."""
        return nn.functional.one_hot(self.decode(logits), self.num_classes).float()

    def evidence_of(self, logits: Tensor) -> int | None:
        """The logit whose evidence explains the prediction; None: the sum of all."""
        return int(self.decode(logits)) if self.kind == "classes" else None


class _WeightedByClass(nn.Module):
    """A loss per image, averaged with the weights of the images' classes."""

    def __init__(self, loss: nn.Module, weights: Sequence[float]) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weights: Any = self.weights
        by_image = self.loss(input, target)  # refuses labels that have no weight
        own = weights[target.flatten().long()]
        return (by_image * own).sum() / own.sum()


def _parse_weights(weights: Any, kind: str, num_classes: int) -> tuple[float, ...] | None:
    if weights is None:
        return None
    if kind == "value":
        raise ValueError("class_weights go with classes and grades, not with a value: leave them out")
    if not isinstance(weights, Sequence) or isinstance(weights, str) or len(weights) != num_classes:
        raise ValueError(f"class_weights must be a list of {num_classes} numbers, one per class, got {weights!r}")
    if wrong := [weight for weight in weights if isinstance(weight, bool) or not weight > 0]:
        raise ValueError(f"class_weights must be above 0, got {wrong[0]!r}")
    return tuple(float(weight) for weight in weights)
