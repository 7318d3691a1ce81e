"""The Dice of label maps: counted in parts, without one-hot copies, wherever the two maps lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from monai.handlers import IgniteMetricHandler
from monai.metrics import DiceMetric
from torch import Tensor

__all__ = ["LabelDice", "class_dice"]

_VOXELS = 2**20  # that are counted at a time


class LabelDice(IgniteMetricHandler):
    """Dice of label maps, averaged over cases and classes that the label has: MONAI's ``MeanDice`` without one-hots.

    Values, details, and what is done over ranks are MeanDice's. It takes a prediction that was stitched on the CPU
    with a label on a GPU, and needs some MiB: MeanDice takes label maps too (`num_classes`), but both on one device,
    and with 10 to 18 bytes a voxel of masks and copies in int64 (on a CPU).

    Args:
        num_classes: K, the background among them.
        include_background: whether class 0 counts.
        output_transform: takes lists of predictions and labels, each (1, *spatial) with classes 0 to K - 1, out of the
            engine's output, as ``monai.handlers.from_engine(["pred", "label"])`` does.
        save_details: keep each case's Dice per class, (cases, classes), in ``engine.state.metric_details``.

    Raises:
        ValueError: in an update: a prediction or a label with another value than a class'.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        include_background: bool = True,
        output_transform: Callable[[Any], Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        metric = _LabelDice(include_background=include_background, num_classes=num_classes)
        super().__init__(metric, output_transform=output_transform, save_details=save_details)


class _LabelDice(DiceMetric):
    """MONAI's cumulative metric, with a count of its own."""

    def __call__(self, y_pred: Iterable[Tensor], y: Iterable[Tensor]) -> Tensor:
        first = 0 if self.include_background else 1
        pairs = zip(y_pred, y, strict=True)
        dice = torch.stack([class_dice(pred, label, num_classes=self.num_classes)[first:] for pred, label in pairs])
        self.extend(dice)
        return dice


def class_dice(pred: Tensor, label: Tensor, *, num_classes: int) -> Tensor:
    """Dice of each class, (K,), on the label's device; NaN for a class that the label has not.

    Args:
        pred: label map of any shape and device.
        label: label map of the same shape.
        num_classes: K.

    Raises:
        ValueError: maps of two shapes; a value that is no class'.

    >>> class_dice(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]), num_classes=3)
    tensor([0.8000, 0.6667,    nan])
    """
    if pred.shape != label.shape:
        raise ValueError(f"prediction and label must have one shape, got {tuple(pred.shape)} and {tuple(label.shape)}")
    counts = _confusion(pred.as_subclass(Tensor), label.as_subclass(Tensor), num_classes)
    true, predicted = counts.sum(1), counts.sum(0)
    dice = 2.0 * counts.diagonal() / (true + predicted)
    return torch.where(true > 0, dice, torch.nan)


def _confusion(pred: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Voxels by true and by predicted class, (K, K)."""
    for name, values in (("prediction", pred), ("label", label)):
        low, high = (float(value) for value in values.aminmax())
        if not (low >= 0 and high < num_classes):
            raise ValueError(f"the {name} must have classes of 0 to {num_classes - 1}, got {low:g} to {high:g}")
    parts = zip(pred.flatten().split(_VOXELS), label.flatten().split(_VOXELS), strict=True)
    counts = (
        torch.bincount(torch.add(guess.to(truth.device), truth.long(), alpha=num_classes), minlength=num_classes**2)
        for guess, truth in parts
    )
    return torch.stack(list(counts)).sum(0).reshape(num_classes, num_classes)
