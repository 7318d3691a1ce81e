"""Regression on one output per image: no broadcasting, any target type, the nearest grade."""

import pytest
import torch

from monai_patchgrow.losses import LossOverRanks, OrdinalLoss, RegressionLoss, regression_grades


def test_squared_error_of_a_column_against_whole_numbers():
    assert RegressionLoss()(torch.tensor([[1.0], [4.0]]), torch.tensor([1, 2])).item() == 2.0


def test_huber_is_linear_beyond_delta():
    assert RegressionLoss("huber", delta=2.0)(torch.tensor([[0.0], [5.0]]), torch.tensor([1, 0])).item() == 4.25


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_shapes(shape):
    loss = RegressionLoss()(torch.tensor([1.0, 4.0]).reshape(shape), torch.tensor([1.0, 2.0]).reshape(2, 1))
    assert loss.item() == 2.0


def test_gradients_in_float64():
    prediction = torch.randn(4, 1, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: RegressionLoss("huber")(p, torch.tensor([0, 5, 2, 3])), prediction)


def test_the_nearest_grade():
    assert regression_grades(torch.tensor([[-3.0], [0.4], [2.6], [9.0]]), 6).tolist() == [0, 0, 3, 5]


@pytest.mark.parametrize("loss", [RegressionLoss("huber"), OrdinalLoss(2)])
def test_they_are_means_that_ranks_can_share(loss):
    prediction, target = torch.randn(4, 1), torch.tensor([0, 1, 1, 0])
    assert torch.allclose(LossOverRanks(loss)(prediction, target), loss(prediction, target), rtol=0, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match=r"one output and one target per image, got \(2, 3\) and \(2,\)"):
        RegressionLoss()(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"one output and one target per image, got \(2, 1\) and \(4,\)"):
        RegressionLoss()(torch.zeros(2, 1), torch.zeros(4))
    with pytest.raises(ValueError, match='kind must be "mse" or "huber", got \'l1\''):
        RegressionLoss("l1")
