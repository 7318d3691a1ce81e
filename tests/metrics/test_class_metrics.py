"""Metrics of classes, also where a class is missing."""

import math

import pytest
import torch
from ignite.engine import Engine

from monai_patchgrow.handlers import balanced_accuracy, mean_roc_auc

SCORES = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])


def measured(metric, batches):
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "metric")
    return engine.run(batches).metrics["metric"]


def test_a_rare_class_counts_as_much_as_a_common_one():
    batches = [(SCORES[:2], torch.tensor([0, 0])), (SCORES[2:], torch.tensor([1, 1]))]
    assert measured(balanced_accuracy(2, lambda output: output), batches) == 0.75
    assert measured(balanced_accuracy(2, lambda output: output), [(SCORES, torch.tensor([0, 1, 1, 1]))]) == (
        pytest.approx((1 + 1 / 3) / 2)
    )


def test_balanced_accuracy_leaves_a_missing_class_out():
    assert measured(balanced_accuracy(2, lambda output: output), [(SCORES, torch.zeros(4, dtype=int))]) == 0.75


def test_the_area_under_the_curve_of_two_classes():
    batches = [(SCORES[:2], torch.tensor([0, 1])), (SCORES[2:], torch.tensor([0, 1]))]
    assert measured(mean_roc_auc(2, lambda output: output), batches) == 1
    assert measured(mean_roc_auc(2, lambda output: output), [(SCORES, torch.tensor([0, 0, 1, 1]))]) == 0.75


def test_the_area_leaves_a_missing_class_out():
    scores = torch.cat([SCORES, torch.zeros(4, 1)], 1)
    assert measured(mean_roc_auc(3, lambda output: output), [(scores, torch.tensor([0, 0, 1, 1]))]) == 0.75


def test_one_class_alone_has_no_area():
    assert math.isnan(measured(mean_roc_auc(2, lambda output: output), [(SCORES, torch.zeros(4, dtype=int))]))
