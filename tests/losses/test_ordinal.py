"""The ordinal loss by hand, its decoding, its gradients, and grades outside the range."""

import pytest
import torch

from monai_patchgrow.losses import OrdinalLoss, ordinal_grades
from monai_patchgrow.losses.ordinal import ordinal_probabilities

LOGITS = torch.tensor([[0.0, 0.0], [1.0, -1.0]], dtype=torch.double)


def test_by_hand():
    # ln 2 for each question of the first image; softplus(-1) = 0.3132617 for both of the second, whose grade is 1.
    assert OrdinalLoss(3)(LOGITS, torch.tensor([2, 1])).item() == pytest.approx(0.5032044, abs=1e-6)


def test_a_mean_over_images():
    by_image = OrdinalLoss(3, reduction="none")(LOGITS, torch.tensor([2, 1]))
    assert by_image.tolist() == pytest.approx([0.6931472, 0.3132617], abs=1e-6)
    assert OrdinalLoss(3, reduction="sum")(LOGITS, torch.tensor([2, 1])).item() == pytest.approx(1.0064089, abs=1e-6)


def test_each_grade_further_off_costs_more():
    sure_of_grade_0 = torch.full((4, 3), -5.0)
    losses = OrdinalLoss(4, reduction="none")(sure_of_grade_0, torch.arange(4))
    assert losses.tolist() == pytest.approx([0.0067153, 1.6733820, 3.3400487, 5.0067153], abs=1e-5)


def test_a_target_with_a_column():
    assert torch.equal(OrdinalLoss(3)(LOGITS, torch.tensor([[2], [1]])), OrdinalLoss(3)(LOGITS, torch.tensor([2, 1])))


def test_gradients_in_float64():
    logits, target = torch.randn(4, 5, dtype=torch.double, requires_grad=True), torch.tensor([0, 5, 2, 3])
    assert torch.autograd.gradcheck(lambda scores: OrdinalLoss(6)(scores, target), logits)


def test_grades_of_logits():
    logits = torch.tensor([[-2.0, -3.0, -4.0], [0.5, -0.5, -4.0], [4.0, 3.0, 2.0], [-1.0, 1.0, -1.0]])
    assert ordinal_grades(logits).tolist() == [0, 1, 3, 1]
    assert ordinal_grades(logits[1]).item() == 1


def test_probabilities_of_logits_that_are_not_in_order():
    logits = torch.tensor([[2.0, -1.0, 1.5], [-50.0, 50.0, -50.0]])
    expected = torch.tensor([[0.1192, 0.0632, 0.5486, 0.2689], [0.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(ordinal_probabilities(logits), expected, rtol=0, atol=1e-4)
    assert ordinal_grades(logits).tolist() == [2, 1]


def test_training_finds_the_grades():
    torch.manual_seed(0)
    features = torch.arange(6.0).repeat(2)[:, None] / 5
    layer = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 5))
    optimizer, target = torch.optim.Adam(layer.parameters(), 0.05), torch.arange(6).repeat(2)
    for _ in range(200):
        optimizer.zero_grad()
        OrdinalLoss(6)(layer(features), target).backward()
        optimizer.step()
    assert ordinal_grades(layer(features)).tolist() == [0, 1, 2, 3, 4, 5] * 2


def test_refusals():
    with pytest.raises(ValueError, match=r"grades must be 0 to 2, got \[0, 3\]"):
        OrdinalLoss(3)(LOGITS, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"grades must be 0 to 2, got \[-1, 1\]"):
        OrdinalLoss(3)(LOGITS, torch.tensor([-1, 1]))
    with pytest.raises(ValueError, match=r"4 grades need 3 logits per image, got \(2, 2\)"):
        OrdinalLoss(4)(LOGITS, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="one grade per image, got 1 for 2 images"):
        OrdinalLoss(3)(LOGITS, torch.tensor([0]))
    with pytest.raises(ValueError, match="num_grades must be at least 2, got 1"):
        OrdinalLoss(1)
    with pytest.raises(ValueError, match="reduction must be"):
        OrdinalLoss(3, reduction="max")
