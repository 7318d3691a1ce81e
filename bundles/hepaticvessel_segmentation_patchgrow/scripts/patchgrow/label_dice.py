"""The Dice of label maps: counted in parts, without one-hot copies, wherever the two maps lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
        regions: classes that each region is made of; then there is a Dice per region, in place of one per class.
        ignore_label: value of the label's voxels that count nowhere, K; None: all count.

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
        regions: Sequence[Sequence[int]] = (),
        ignore_label: int | None = None,
    ) -> None:
        metric = _LabelDice(include_background=include_background, num_classes=num_classes)
        metric.regions, metric.ignore_label = tuple(map(tuple, regions)), ignore_label
        super().__init__(metric, output_transform=output_transform, save_details=save_details)


class _LabelDice(DiceMetric):
    """MONAI's cumulative metric, with a count of its own."""

    regions: tuple[tuple[int, ...], ...] = ()
    ignore_label: int | None = None

    def __call__(self, y_pred: Iterable[Tensor], y: Iterable[Tensor]) -> Tensor:
        first = 0 if self.include_background or self.regions else 1
        options: Any = {name: getattr(self, name) for name in ("num_classes", "regions", "ignore_label")}
        pairs = zip(y_pred, y, strict=True)
        dice = torch.stack([class_dice(pred, label, **options)[first:] for pred, label in pairs])
        self.extend(dice)
        return dice


def class_dice(
    pred: Tensor,
    label: Tensor,
    *,
    num_classes: int,
    regions: Sequence[Sequence[int]] = (),
    ignore_label: int | None = None,
) -> Tensor:
    """Dice of each class, (K,), or region, (R,), on the label's device; NaN for one that the label has not.

    Args:
        pred: label map of any shape and device.
        label: label map of the same shape.
        num_classes: K.
        regions: classes that each region is made of; empty: Dice is per class.
        ignore_label: value of the label's voxels that count nowhere, K; None: all count.

    Raises:
        ValueError: maps of two shapes; a value that is no class'; another `ignore_label` than K.

    >>> class_dice(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]), num_classes=3)
    tensor([0.8000, 0.6667,    nan])
    >>> pred, label = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 2, 3])
    >>> class_dice(pred, label, num_classes=3, regions=[(1, 2), (2,)], ignore_label=3)
    tensor([1., 0.])
    """
    if pred.shape != label.shape:
        raise ValueError(f"prediction and label must have one shape, got {tuple(pred.shape)} and {tuple(label.shape)}")
    if ignore_label not in (None, num_classes):
        raise ValueError(f"ignore_label must be the value above the classes, {num_classes}, got {ignore_label}")
    ignores = ignore_label is not None
    counts = _confusion(pred.as_subclass(Tensor), label.as_subclass(Tensor), num_classes, ignores=ignores)
    groups = [list(values) for values in regions] or [[value] for value in range(num_classes)]
    true, predicted = (torch.stack([sums[group].sum() for group in groups]) for sums in (counts.sum(1), counts.sum(0)))
    both = torch.stack([counts[group][:, group].sum() for group in groups])
    return torch.where(true > 0, 2.0 * both / (true + predicted), torch.nan)


def _confusion(pred: Tensor, label: Tensor, num_classes: int, *, ignores: bool) -> Tensor:
    """Voxels by true and by predicted class, (K, K); of a label that `ignores` those of class K are left out."""
    rows = num_classes + ignores
    for name, values, count in (("prediction", pred, num_classes), ("label", label, rows)):
        low, high = (float(value) for value in values.aminmax())
        if not (low >= 0 and high < count):
            raise ValueError(f"the {name} must have classes of 0 to {count - 1}, got {low:g} to {high:g}")
    parts = zip(pred.flatten().split(_VOXELS), label.flatten().split(_VOXELS), strict=True)
    counts = (
        torch.bincount(torch.add(guess.to(truth.device), truth.long(), alpha=num_classes), minlength=rows * num_classes)
        for guess, truth in parts
    )
    return torch.stack(list(counts)).sum(0).reshape(rows, num_classes)[:num_classes]
