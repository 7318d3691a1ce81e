"""Metrics of whole images read decollated outputs and whole batches alike."""

import pytest
import torch

from monai_patchgrow.handlers import image_scores

BATCH = {"pred": torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "label": torch.tensor([1, 0])}
ITEMS = [{"pred": pred, "label": label} for pred, label in zip(*BATCH.values(), strict=True)]


@pytest.mark.parametrize("output", [BATCH, ITEMS])
def test_both_forms_give_the_same(output):
    pred, label = image_scores(lambda logits: logits.argmax(-1))(output)
    assert (pred.tolist(), label.tolist()) == ([1, 0], [1, 0])


def test_numbers_of_a_type():
    pred, label = image_scores(dtype=torch.float64)(ITEMS)
    assert pred.dtype == label.dtype == torch.float64


def test_labels_that_decollation_made_numbers_go_to_the_predictions_device():
    pred, label = image_scores()([{"pred": torch.empty(2, device="meta"), "label": 1}])
    assert pred.device == label.device == torch.device("meta")
