"""A network whose output is no number ends the evaluation: it is never called class 0."""

import pytest
import torch
from monai.engines import SupervisedEvaluator

from monai_patchgrow import PatchGDEvaluator
from monai_patchgrow.data import DataError
from monai_patchgrow.handlers import FiniteOutput
from monai_patchgrow.handlers.finite_output import OutputError, check_outputs, count_odd_weights

NAN, INFINITE = float("nan"), float("inf")


def network(value=None):
    linear = torch.nn.Linear(4, 2)
    if value is not None:
        linear.bias.data[1] = value
    return linear


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_the_images_are_named(value):
    pred = torch.zeros(3, 2)
    pred[1, 1] = value
    with pytest.raises(OutputError, match=r"^b: the network's output is NaN or infinite, though its weights") as error:
        check_outputs(pred, network=network(), batch={"name": ["a", "b", "c"]})
    assert error.value.images == {1: "b"}


def test_its_weights_are_the_reason():
    with pytest.raises(
        OutputError, match=r"^image 0 of the batch, image 1 of the batch: .*: 1 of its weights are: take"
    ):
        check_outputs(torch.full((2, 1), NAN), network=network(NAN))


def test_running_statistics_count_as_weights():
    norm = torch.nn.BatchNorm1d(3)
    norm.running_var[0] = INFINITE
    assert count_odd_weights(norm.state_dict()) == 1


def test_numbers_pass():
    check_outputs(torch.tensor([[3e38, -3e38]]), network=network())


@pytest.mark.parametrize("batch", [{"image": torch.zeros(2, 4), "label": torch.zeros(2)}, {"image": torch.zeros(2, 4)}])
def test_the_handler_ends_any_evaluator_of_monai(batch):
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[batch],
        network=network(NAN),
        prepare_batch=lambda batch, *_, **__: (batch["image"], batch.get("label")),
        val_handlers=[FiniteOutput(network(NAN))],
    )
    with pytest.raises(DataError, match="1 of its weights are"):
        evaluator.run()


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_patchgds_evaluator_needs_no_handler(value):
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    evaluator = PatchGDEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": torch.zeros(2, 1, 4, 4), "label": torch.zeros(2), "name": ["a", "b"]}],
        encoder=torch.nn.Sequential(torch.nn.Flatten(), network(value)),
        head=head,
        patch_size=(2, 2),
    )
    with pytest.raises(DataError, match=r"^a, b: the network's output is NaN or infinite: 1 of its weights are"):
        evaluator.run()
