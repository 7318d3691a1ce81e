"""BatchDiceOverRanks: on one rank what MONAI's own DiceLoss is; over several see tests/test_distributed.py."""

import pytest
import torch
from monai.losses import DiceLoss

from monai_patchgrow.losses.batch_dice import BatchDiceOverRanks

SOFTMAX = {"softmax": True, "to_onehot_y": True}


@pytest.mark.parametrize(
    "settings",
    [
        {**SOFTMAX, "include_background": False},
        {**SOFTMAX, "squared_pred": True},
        {**SOFTMAX, "jaccard": True},
        {**SOFTMAX, "smooth_nr": 0.5, "smooth_dr": 2.0},
        {"sigmoid": True, "to_onehot_y": True},
    ],
    ids=lambda settings: max(settings),
)
def test_on_one_rank_it_is_monais_own_loss(settings):
    torch.manual_seed(0)
    logits, target = torch.randn(3, 4, 5, 6, 7), torch.randint(4, (3, 1, 5, 6, 7))
    loss = DiceLoss(batch=True, **settings)
    ours, theirs = (one(logits.requires_grad_(), target) for one in (BatchDiceOverRanks(loss), loss))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits))


def test_one_class_is_left_as_it_is():
    logits, target = torch.randn(2, 1, 8), torch.randint(2, (2, 1, 8))
    loss = DiceLoss(batch=True, sigmoid=True)
    torch.testing.assert_close(BatchDiceOverRanks(loss)(logits, target), loss(logits, target))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"weight": [1.0, 2.0]}, r"\['weight'\]"),
        ({"other_act": torch.tanh}, r"\['other_act'\]"),
        ({"ignore_index": 1}, r"\['ignore_index'\]"),
        ({"reduction": "sum"}, r"\['reduction'\]"),
    ],
)
def test_settings_that_it_does_not_know_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        BatchDiceOverRanks(DiceLoss(batch=True, **settings))


def test_a_loss_of_single_patches_is_refused():
    with pytest.raises(ValueError, match=r"\['batch'\]"):
        BatchDiceOverRanks(DiceLoss())
