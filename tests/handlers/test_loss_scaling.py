"""LossScaling and amp_dtype: a scaler where float16 needs one, and nowhere else."""

from types import SimpleNamespace

import pytest
import torch
from monai.engines import SupervisedTrainer

from monai_patchgrow.handlers import LossScaling, amp_dtype


def make_trainer(dtype, *, amp=True):
    network = torch.nn.Linear(2, 2)
    return SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": torch.rand(1, 2), "label": torch.rand(1, 2)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[LossScaling()],
        decollate=False,
        amp=amp,
        amp_kwargs={"dtype": dtype, "enabled": False},
    )


def scaler_of(trainer):
    """The scaler while the trainer runs."""
    scalers = []
    trainer.add_event_handler("STARTED", lambda: scalers.append(trainer.scaler))
    trainer.add_event_handler("STARTED", trainer.terminate)
    trainer.run()
    return scalers[0]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # MONAI's own scaler, and no GPU
@pytest.mark.parametrize(("dtype", "replaced"), [(torch.bfloat16, True), (torch.float16, False)])
def test_the_scaler_that_a_run_makes_is_replaced_for_bfloat16_only(dtype, replaced):
    scaler = scaler_of(make_trainer(dtype))
    assert (type(scaler) is torch.amp.GradScaler) is replaced  # MONAI makes a torch.cuda.amp.GradScaler


def test_without_amp_there_is_nothing_to_do():
    assert scaler_of(make_trainer(torch.bfloat16, amp=False)) is None


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_amp_dtype_is_what_the_gpu_has(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert amp_dtype("cuda:0") is dtype


def test_amp_dtype_on_a_cpu():
    assert amp_dtype("cpu") is torch.bfloat16


def test_a_first_step_that_the_scale_skips_leaves_no_chance_numbers_in_the_momentum():
    weight = torch.nn.Parameter(torch.ones(1000))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True)
    engine = SimpleNamespace(scaler=torch.amp.GradScaler("cpu"), amp_kwargs={"dtype": torch.float16})
    engine.optimizer = optimizer
    LossScaling()(engine)
    for gradient in (float("inf"), 1.0):
        weight.grad = torch.full((1000,), gradient) * engine.scaler.get_scale()
        engine.scaler.scale(torch.zeros(()))
        engine.scaler.step(optimizer)
        engine.scaler.update()
    assert torch.equal(weight, torch.full((1000,), 0.9))
