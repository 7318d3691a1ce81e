"""GradientClipping: the norm over all parameters, before each step."""

import pytest
import torch
from ignite.engine import Engine

from monai_patchgrow.handlers import FiniteSteps, GradientClipping
from tests.support.waiting import no_waiting


def step(gradients, **options):
    """One step of SGD at learning rate 1 from zero: how far each parameter went."""
    parameters = [torch.nn.Parameter(torch.zeros(())) for _ in gradients]
    optimizer = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:]}], lr=1.0)
    GradientClipping(optimizer, **options).attach(Engine(lambda engine, batch: None))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    optimizer.step()
    return [-parameter.item() for parameter in parameters]


def test_large_gradients_are_scaled_to_the_norm_over_all_groups():
    assert step([30.0, 40.0], max_norm=5.0) == pytest.approx([3.0, 4.0], rel=1e-5)


def test_small_gradients_are_left_alone():
    assert step([3.0, 4.0], max_norm=12.0) == [3.0, 4.0]


def test_default_norm_is_that_of_nnunet():
    assert step([120.0, 0.0]) == pytest.approx([12.0, 0.0], rel=1e-5)


def test_parameter_without_gradient_is_no_problem():
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    GradientClipping(optimizer).attach(Engine(lambda engine, batch: None))
    optimizer.step()
    assert parameter.item() == 0.0


@pytest.mark.parametrize("fused", [False, True])
def test_under_amp_the_gradients_are_unscaled_first(fused):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0, fused=fused)
    GradientClipping(optimizer, max_norm=12.0).attach(Engine(lambda engine, batch: None))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(parameter * 2).backward()
    scaler.step(optimizer)
    assert parameter.item() == -1.0


@pytest.mark.parametrize("max_norm", [0.0, -1.0])
def test_norm_that_is_not_positive_is_refused(max_norm):
    with pytest.raises(ValueError, match=f"^max_norm must be positive, got {max_norm}$"):
        GradientClipping(torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0), max_norm)


def test_the_norm_that_the_look_at_gradients_has_measured_is_taken(monkeypatch):
    ends, measured, measure = [], [], torch.nn.utils.get_total_norm
    monkeypatch.setattr("torch.nn.utils.get_total_norm", lambda some: measured.append(1) or measure(some))
    for handlers in ([GradientClipping], [FiniteSteps, GradientClipping]):
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(9, 9)) for _ in range(3)]
        optimizer = torch.optim.SGD(weights, lr=0.1)
        for handler in handlers:
            handler(optimizer).attach(Engine(lambda engine, batch: None))
        for step in (1, 2):
            for weight in weights:
                weight.grad = torch.randn(9, 9) * 10**step
            optimizer.step()
        ends.append(torch.cat(weights))
        assert not hasattr(optimizer, "gradient_norm")
    assert torch.equal(*ends)
    assert len(measured) == 4


def test_a_scale_on_the_device_is_not_read():
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    clip = GradientClipping(optimizer, max_norm=5.0)
    optimizer.grad_scale = torch.tensor(8.0)
    weight.grad = 8 * torch.tensor([30.0, 40.0])
    with no_waiting():
        clip(optimizer, (), {})
    assert weight.grad.tolist() == pytest.approx([24.0, 32.0])
