"""LossOverRanks: what it makes of a loss; values and gradients over ranks are in tests/test_distributed.py."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss, GeneralizedDiceLoss
from torch import nn

from monai_patchgrow.losses import LossOverRanks, loss_over_ranks
from monai_patchgrow.losses.batch_dice import BatchDiceOverRanks

LOGITS, TARGET = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 1, 8, 8)).float()


def deep_dice_ce(**options):
    return DeepSupervisionLoss(DiceCELoss(softmax=True, to_onehot_y=True, **options), weights=[0.75, 0.25])


def test_one_rank_keeps_its_loss():
    loss = deep_dice_ce()
    assert loss_over_ranks(loss) is loss


@pytest.mark.parametrize("batch", [False, True])
def test_on_one_rank_the_value_is_that_of_the_loss(batch):
    loss = deep_dice_ce(batch=batch)
    levels = [LOGITS, LOGITS[:, :, ::2, ::2]]
    torch.testing.assert_close(LossOverRanks(loss)(levels, TARGET), loss(levels, TARGET))


def test_the_given_loss_is_left_as_it_is():
    loss = deep_dice_ce(batch=True)
    LossOverRanks(loss)
    assert not any(isinstance(module, BatchDiceOverRanks) for module in loss.modules())


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.ones(3)),
        nn.CrossEntropyLoss(reduction="sum"),
        GeneralizedDiceLoss(batch=True),
        DeepSupervisionLoss(DiceCELoss(weight=torch.ones(3))),
    ],
)
def test_what_is_no_mean_over_patches_is_refused(loss):
    with pytest.raises(ValueError, match="no mean over patches"):
        LossOverRanks(loss)
