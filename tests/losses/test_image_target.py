"""A label of an image: outputs, loss, decoding and probabilities of classes, grades and values."""

import pytest
import torch

from monai_patchgrow.losses import ImageTarget


@pytest.mark.parametrize(("kind", "outputs"), [("classes", 6), ("grades", 5), ("value", 1)])
def test_number_of_outputs(kind, outputs):
    assert ImageTarget(kind, 6).num_outputs == outputs


def test_grades_count_passed_thresholds():
    assert ImageTarget("grades", 4).decode(torch.tensor([[3.0, 1.0, -2.0], [-1.0, -1.0, -1.0]])).tolist() == [2, 0]


def test_a_value_is_the_nearest_grade():
    assert ImageTarget("value", 4).decode(torch.tensor([[1.7], [9.0]])).tolist() == [2, 3]


def test_probabilities_of_grades_lie_between_thresholds():
    logits = torch.logit(torch.tensor([[0.9, 0.5]]))
    torch.testing.assert_close(ImageTarget("grades", 3).probabilities(logits), torch.tensor([[0.1, 0.4, 0.5]]))


def test_probabilities_add_up_to_1_where_thresholds_are_not_in_order():
    logits = torch.logit(torch.tensor([[0.2, 0.6]]))
    torch.testing.assert_close(ImageTarget("grades", 3).probabilities(logits), torch.tensor([[0.4, 0.4, 0.2]]))


@pytest.mark.parametrize("logits", [[2.0, -1.0, 1.5], [-50.0, 50.0, -50.0], [-3.0, 2.0, 4.0], [-1.0, -2.0, -0.5]])
def test_a_grade_is_the_median_of_its_probabilities_whatever_the_order_of_thresholds(logits):
    target, logits = ImageTarget("grades", 4), torch.tensor(logits)
    probabilities = target.probabilities(logits).double()
    grade = int(target.decode(logits))
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
    assert float(probabilities[:grade].sum()) < 0.5 <= float(probabilities[: grade + 1].sum())


def test_a_value_has_no_probabilities():
    assert ImageTarget("value", 3).probabilities(torch.zeros(2, 1)).shape == (2, 0)


def test_weights_of_classes_make_a_weighted_mean():
    logits, labels = torch.tensor([[0.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1])
    plain = torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
    loss = ImageTarget("classes", 2, class_weights=[3, 1]).loss()(logits, labels)
    assert float(loss) == pytest.approx((3 * plain[0] + plain[1]) / 4)


def test_weights_of_grades_make_a_weighted_mean():
    logits, labels = torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1])
    plain = [0.693147, 0.018150]  # log(2) and log(1 + exp(-4))
    loss = ImageTarget("grades", 2, class_weights=[3, 1]).loss()(logits, labels)
    assert float(loss) == pytest.approx((3 * plain[0] + plain[1]) / 4, abs=1e-5)


def test_evidence_explains_the_class_or_all_thresholds():
    logits = torch.tensor([0.0, 2.0])
    assert ImageTarget("classes", 2).evidence_of(logits) == 1
    assert ImageTarget("grades", 3).evidence_of(logits) is None


@pytest.mark.parametrize(
    ("kind", "num_classes", "weights", "line"),
    [
        ("class", 2, None, "target must be one of classes, grades, value, got 'class'"),
        ("classes", 1, None, "num_classes must be an integer of at least 2, got 1"),
        ("classes", 3, [1, 2], "class_weights must be a list of 3 numbers, one per class, got [1, 2]"),
        ("classes", 2, [1, 0], "class_weights must be above 0, got 0"),
        ("value", 2, [1, 1], "class_weights go with classes and grades, not with a value: leave them out"),
    ],
)
def test_wrong_targets_are_refused(kind, num_classes, weights, line):
    with pytest.raises(ValueError) as caught:
        ImageTarget(kind, num_classes, class_weights=weights)
    assert str(caught.value) == line
