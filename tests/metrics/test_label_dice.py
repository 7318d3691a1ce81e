"""The Dice of label maps: MONAI's MeanDice to the bit, on any devices, in little memory."""

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from monai.metrics import DiceMetric
from monai.networks import one_hot
from torch.utils._python_dispatch import TorchDispatchMode
from two_devices import GPU, TwoDevices

from monai_patchgrow.metrics import LabelDice, label_dice
from monai_patchgrow.metrics.label_dice import class_dice

BOTH = from_engine(["pred", "label"])


def label_maps(classes, shape=(1, 9, 8, 7), seed=0):
    """A prediction and a label without the last class."""
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randint(0, classes, shape, generator=generator, dtype=torch.uint8)
    return pred, torch.randint(0, classes - 1, shape, generator=generator, dtype=torch.uint8)


def evaluated(metric, cases):
    """Value and details of a metric over cases, each a pair of maps."""
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": pred[None], "label": label[None]} for pred, label in cases],
        network=torch.nn.Identity(),
        key_val_metric={"dice": metric},
    )
    evaluator.run()
    return evaluator.state.metrics["dice"], evaluator.state.metric_details["dice"]


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_each_class_has_the_dice_of_one_hots(classes, background, monkeypatch):
    monkeypatch.setattr(label_dice, "_VOXELS", 100)
    pred, label = label_maps(classes)
    ours = class_dice(pred, label, num_classes=classes)[0 if background else 1 :]
    metric = DiceMetric(include_background=background)
    theirs = metric(one_hot(pred[None].float(), classes), one_hot(label[None].float(), classes))[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_mean_and_details_are_those_of_mean_dice():
    cases = [label_maps(4, seed=seed) for seed in range(3)]
    value, details = evaluated(LabelDice(4, include_background=False, output_transform=BOTH), cases)
    theirs = MeanDice(include_background=False, num_classes=4, output_transform=BOTH)
    their_value, their_details = evaluated(theirs, cases)
    assert value == their_value
    torch.testing.assert_close(details, their_details, rtol=0, atol=0, equal_nan=True)


def test_an_empty_label_does_not_count():
    empty = torch.ones(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8)
    full = torch.ones(1, 4, 4, dtype=torch.uint8), torch.ones(1, 4, 4, dtype=torch.uint8)
    assert evaluated(LabelDice(2, include_background=False, output_transform=BOTH), [empty, full])[0] == 1


def test_labels_of_float_are_classes_too():
    pred, label = label_maps(3)
    of_bytes = class_dice(pred, label, num_classes=3)
    torch.testing.assert_close(class_dice(pred, label.float(), num_classes=3), of_bytes, rtol=0, atol=0, equal_nan=True)


def test_a_prediction_on_the_cpu_goes_with_a_label_on_the_gpu():
    pred, label = label_maps(3)
    expected = class_dice(pred, label, num_classes=3)
    with TwoDevices() as devices:
        dice = class_dice(pred, devices.on_gpu(label), num_classes=3)
        assert dice.device == GPU  # as the other cases', which it is stacked with
    torch.testing.assert_close(dice, expected, rtol=0, atol=0, equal_nan=True)


class LargestResult(TorchDispatchMode):
    """Notes the values of the largest tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not func.is_view:
            self.most = max(self.most, result.numel())
        return result


def test_voxels_are_counted_in_parts(monkeypatch):
    monkeypatch.setattr(label_dice, "_VOXELS", 100)
    pred, label = label_maps(3, shape=(1, 20, 10, 10))
    with LargestResult() as seen:
        class_dice(pred, label, num_classes=3)
    assert seen.most <= 200  # of 2000 voxels


@pytest.mark.parametrize("value", [3, -1, float("nan")])
def test_a_value_that_is_no_class_is_refused(value):
    label = torch.zeros(1, 4, 4)
    label[0, 0, 0] = value
    with pytest.raises(ValueError, match=r"^the label must have classes of 0 to 2, got"):
        class_dice(torch.zeros(1, 4, 4, dtype=torch.uint8), label, num_classes=3)


def test_a_prediction_of_too_many_classes_is_refused():
    with pytest.raises(ValueError, match=r"^the prediction must have classes of 0 to 1, got 0 to 2$"):
        class_dice(torch.tensor([[0, 2]]), torch.tensor([[0, 1]]), num_classes=2)


def test_maps_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"^prediction and label must have one shape, got \(1, 6\) and \(2, 3\)$"):
        class_dice(torch.zeros(1, 6), torch.zeros(2, 3), num_classes=2)


# regions, and voxels to ignore


def test_a_region_has_the_dice_of_its_mask(monkeypatch):
    monkeypatch.setattr(label_dice, "_VOXELS", 100)
    pred, label = label_maps(4)
    regions = [(1, 2, 3), (2, 3), (3,)]
    ours = class_dice(pred, label, num_classes=4, regions=regions)
    masks = [torch.stack([torch.isin(one, torch.tensor(own)) for own in regions], 1).float() for one in (pred, label)]
    torch.testing.assert_close(ours, DiceMetric()(*masks)[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("regions", [(), [(1, 2), (2,)]])
def test_ignored_voxels_count_nowhere(regions):
    pred, label = label_maps(3)
    kept = torch.rand(label.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    theirs = class_dice(pred[kept], label[kept], num_classes=3, regions=regions)
    ours = class_dice(pred, label.where(kept, 3), num_classes=3, regions=regions, ignore_label=3)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_the_metric_has_a_column_per_region():
    cases = [label_maps(4, seed=seed) for seed in range(3)]
    metric = LabelDice(4, include_background=False, output_transform=BOTH, regions=[(1, 2, 3), (2, 3)], ignore_label=4)
    value, details = evaluated(metric, cases)
    each = [class_dice(*case, num_classes=4, regions=[(1, 2, 3), (2, 3)]) for case in cases]
    assert torch.equal(details, torch.stack(each)) and value == pytest.approx(float(details.mean()))


def test_a_prediction_of_what_is_ignored_is_refused():
    with pytest.raises(ValueError, match=r"^the prediction must have classes of 0 to 1, got 0 to 2$"):
        class_dice(torch.tensor([[0, 2]]), torch.tensor([[0, 2]]), num_classes=2, ignore_label=2)


def test_only_the_value_above_the_classes_can_be_ignored():
    with pytest.raises(ValueError, match=r"^ignore_label must be the value above the classes, 2, got 1$"):
        class_dice(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]), num_classes=2, ignore_label=1)
