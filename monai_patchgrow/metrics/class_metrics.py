"""Metrics of classes in which a rare class counts as much as a common one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ignite.metrics import ConfusionMatrix, MetricsLambda
from monai.handlers import IgniteMetricHandler
from monai.metrics import ROCAUCMetric, compute_roc_auc
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["balanced_accuracy", "mean_roc_auc"]


def balanced_accuracy(num_classes: int, output_transform: Callable[[Any], Any]) -> MetricsLambda:
    """Recall, averaged over the classes that occur, from Ignite's ``ConfusionMatrix``; over all ranks.

    Args:
        num_classes: K.
        output_transform: takes scores ``(B, K)``, the highest for the predicted class, and classes ``(B,)`` out of the
            engine's output, such as ``image_scores(target.one_hot)``.

    >>> import torch
    >>> metric = balanced_accuracy(3, lambda output: output)
    >>> metric.update((torch.eye(3)[[0, 0, 0, 0]], torch.tensor([0, 0, 0, 1])))
    >>> metric.compute()
    0.5
    """
    return MetricsLambda(_mean_recall, ConfusionMatrix(num_classes, output_transform=output_transform))


def mean_roc_auc(num_classes: int, output_transform: Callable[[Any], Any]) -> IgniteMetricHandler:
    """Area under the ROC curve of each class against the others, averaged over the classes that occur; over all ranks.

    It is NaN where all images are of one class. Of two classes it is the usual AUC.

    Args:
        num_classes: K.
        output_transform: takes probabilities ``(B, K)`` and classes ``(B,)`` out of the engine's output, such as
            ``image_scores(target.probabilities)``.
    """

    def transform(output: Any) -> tuple[Tensor, Tensor]:
        scores, classes = output_transform(output)
        return scores, one_hot(classes.long(), num_classes)

    return IgniteMetricHandler(metric_fn=_MeanROCAUC(), output_transform=transform, save_details=False)


class _MeanROCAUC(ROCAUCMetric):
    """MONAI's, without the classes that it can't compute: those that no image or every image is of."""

    def aggregate(self, average: Any = None) -> float:
        scores, labels = self.get_buffer()
        occurs = [index for index, count in enumerate(labels.sum(0).tolist()) if 0 < count < len(labels)]
        areas = [compute_roc_auc(scores[:, index], labels[:, index]) for index in occurs]
        return sum(areas) / len(areas) if areas else math.nan


def _mean_recall(counts: Tensor) -> float:
    """Of a confusion matrix ``(K, K)``, rows the true classes."""
    occurs = counts.sum(1) > 0
    recall = counts.diag()[occurs] / counts.sum(1)[occurs]
    return float(recall.double().mean())
