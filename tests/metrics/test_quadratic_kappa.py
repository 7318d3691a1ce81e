"""Quadratic weighted kappa by hand, as a MONAI evaluator's key metric, and against scikit-learn's."""

import pytest
import torch
from ignite.exceptions import NotComputableError
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from monai.transforms import AsDiscreted

from monai_patchgrow.handlers import QuadraticKappa
from monai_patchgrow.losses import ordinal_grades

TRUE, PREDICTED = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 1, 2, 2])


def kappa(predicted, true, *, num_grades=3, **options):
    metric = QuadraticKappa(num_grades, **options)
    metric.update((torch.as_tensor(predicted), torch.as_tensor(true)))
    return metric.compute()


def test_by_hand():
    # One disagreement of weight 1; by chance there would be 20 / 4.
    assert kappa(PREDICTED, TRUE) == pytest.approx(0.8, abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "value"),
    [([0, 1, 2, 1], 1.0), ([2, 1, 0, 1], -1.0), ([1, 1, 1, 1], 0.0), ([0, 1, 2, 2], 0.8)],
)
def test_full_and_reversed_agreement_and_one_answer_for_all(predicted, value):
    assert kappa(predicted, TRUE) == pytest.approx(value, abs=1e-12)


def test_two_grades_off_weigh_four_times_as_much():
    # One disagreement of weight 4; by chance there would be 26 / 4.
    assert kappa([0, 1, 2, 0], [0, 1, 2, 2]) == pytest.approx(0.3846153846, abs=1e-9)


def test_more_grades_than_appear_change_nothing():
    assert kappa(PREDICTED, TRUE, num_grades=6) == pytest.approx(0.8, abs=1e-12)


def test_one_grade_throughout_is_no_more_than_chance():
    assert kappa([1, 1], [1, 1]) == 0.0


def test_batches_add_up_and_reset_forgets():
    metric = QuadraticKappa(3)
    for part in (slice(0, 1), slice(1, 4)):
        metric.update((PREDICTED[part], TRUE[part]))
    assert metric.compute() == pytest.approx(0.8, abs=1e-12)
    metric.reset()
    with pytest.raises(NotComputableError, match="at least one example"):
        metric.compute()


def test_as_scikit_learn_has_it():
    torch.manual_seed(0)
    predicted, true = torch.randint(6, (2, 200))
    reference = pytest.importorskip("sklearn.metrics").cohen_kappa_score(true, predicted, weights="quadratic")
    assert kappa(predicted, true, num_grades=6) == pytest.approx(reference, abs=1e-9)


def test_columns_and_whole_numbers_of_any_type():
    assert kappa(PREDICTED.float()[:, None], TRUE.to(torch.uint8)[:, None]) == pytest.approx(0.8, abs=1e-12)


def test_logits_are_decoded():
    logits = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    assert kappa(logits, TRUE, decode=ordinal_grades) == pytest.approx(0.8, abs=1e-12)


def evaluate(metric, scores, *, decollate, postprocessing=None):
    """The key metric of an evaluator whose network passes the scores through."""
    items = [{"image": score, "label": int(grade)} for score, grade in zip(scores, TRUE, strict=True)]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=3),
        network=torch.nn.Identity(),
        key_val_metric={"kappa": metric},
        postprocessing=postprocessing,
        decollate=decollate,
    )
    evaluator.run()
    assert evaluator.state.key_metric_name == "kappa"
    return evaluator.state.metrics["kappa"]


CUMULATIVE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
OF_CLASSES = torch.nn.functional.one_hot(PREDICTED, 3).float()


@pytest.mark.parametrize("decollate", [True, False])
def test_key_metric_of_an_evaluator(decollate):
    metric = QuadraticKappa(3, decode=ordinal_grades, output_transform=from_engine(["pred", "label"]))
    assert evaluate(metric, CUMULATIVE, decollate=decollate) == pytest.approx(0.8, abs=1e-12)


def test_key_metric_of_classes_after_monai_s_argmax():
    metric = QuadraticKappa(3, output_transform=from_engine(["pred", "label"]))
    value = evaluate(metric, OF_CLASSES, decollate=True, postprocessing=AsDiscreted("pred", argmax=True))
    assert value == pytest.approx(0.8, abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([0, 3], [0, 1], r"grades of 0 to 2, got the prediction \[0, 3\]"),
        ([0, 1], [0, 6], r"grades of 0 to 2, got the target \[0, 6\]"),
        ([0, 1], [0, -1], r"grades of 0 to 2, got the target \[0, -1\]"),
        ([0.5, 1.0], [0, 1], r"got the prediction \[0.5, 1.0\]"),
        ([[0, 1], [1, 1]], [0, 1], "4 predicted grades don't go with 2 targets"),
    ],
)
def test_refused_grades(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        kappa(predicted, true)


def test_a_single_grade_is_no_order():
    with pytest.raises(ValueError, match="num_grades must be at least 2, got 1"):
        QuadraticKappa(1)
