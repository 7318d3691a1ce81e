"""A run says what its device can't do: once, and with what its engine computes in."""

from types import SimpleNamespace

import ignite.distributed as idist
import pytest
import torch

from monai_patchgrow.bundle import device_warnings
from monai_patchgrow.bundle.device_warnings import warn_of_device


@pytest.fixture
def asked(monkeypatch):
    """What was asked about the device; a card is idle, and cuDNN is faulty."""
    asked = []

    def mend(device, dtype, *, spatial_dims):
        asked.append((device.type, dtype, spatial_dims))
        return "cuDNN is faulty" if device.type == "cuda" else None

    monkeypatch.setattr(device_warnings, "idle_gpu", lambda: "a card is idle")
    monkeypatch.setattr(device_warnings, "mend_half_convolutions", mend)
    return asked


def engine(device, **options):
    return SimpleNamespace(
        state=SimpleNamespace(device=torch.device(device)), **{"amp": True, "amp_kwargs": {}, **options}
    )


def test_a_run_on_the_cpu_says_that_a_card_is_idle(asked, caplog):
    warn_of_device(engine("cpu", amp=False), spatial_dims=3)
    assert caplog.messages == ["a card is idle"]
    assert asked == [("cpu", torch.float32, 3)]


def test_a_run_on_a_gpu_says_that_cudnn_is_faulty(asked, caplog):
    warn_of_device(engine("cuda"), spatial_dims=3)
    warn_of_device(engine("cuda", amp_kwargs={"dtype": torch.bfloat16}), spatial_dims=2)
    assert caplog.messages == ["cuDNN is faulty"] * 2
    assert asked == [("cuda", torch.float16, 3), ("cuda", torch.bfloat16, 2)]


def test_one_process_of_a_machine_says_it(asked, caplog, monkeypatch):
    monkeypatch.setattr(idist, "get_local_rank", lambda: 1)
    warn_of_device(engine("cuda"), spatial_dims=3)
    assert (caplog.messages, len(asked)) == ([], 1)
