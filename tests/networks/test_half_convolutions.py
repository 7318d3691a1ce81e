"""Which cuDNN is switched off, or spoken of, for 3-D convolutions in half precision; torch's answers are set."""

import pytest
import torch
from torch.torch_version import TorchVersion

from monai_patchgrow.networks import half_convolutions
from monai_patchgrow.networks.half_convolutions import mend_half_convolutions

GPU = torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """Return what sets versions, and whether torch takes cuDNN, on a card of a compute capability."""

    def machine(*, torch_version="2.13.0+cu126", cudnn=91002, takes_cudnn=False, capability=(8, 6)):
        monkeypatch.setattr(torch, "__version__", TorchVersion(torch_version))
        monkeypatch.setattr(torch.version, "cuda", "12.6")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
        monkeypatch.setattr(torch.backends.cudnn, "enabled", True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch, "empty", lambda *shape, **options: torch.zeros(shape))
        monkeypatch.setattr(half_convolutions, "takes_cudnn", lambda image, kernel: takes_cudnn)

    return machine


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cudnn_that_torch_leaves_out_is_spoken_of(machine, dtype):
    machine()
    assert mend_half_convolutions(GPU, dtype, spatial_dims=3) == (
        f"torch 2.13.0+cu126 does without cuDNN 9.10.2 in 3-D convolutions in {str(dtype)[6:]}, which take up to four "
        "times the time and three times the memory: pip install --no-deps 'nvidia-cudnn-cu12>=9.15,<10' mends it, "
        "amp=False computes in float32"
    )
    assert torch.backends.cudnn.enabled


def test_a_card_that_no_newer_cudnn_knows_computes_in_float32(machine):
    machine(capability=(7, 0))
    assert mend_half_convolutions(GPU, torch.float16, spatial_dims=3).endswith("memory: amp=False computes in float32")


def test_wrong_convolutions_are_computed_without_cudnn(machine):
    machine(torch_version="2.8.0+cu126", takes_cudnn=True)
    line = mend_half_convolutions(GPU, torch.bfloat16, spatial_dims=3)
    assert line.startswith(
        "cuDNN 9.10.2 computes some 3-D convolutions in bfloat16 wrongly: the run does without cuDNN"
    )
    assert not torch.backends.cudnn.enabled


@pytest.mark.parametrize(
    ("device", "dtype", "spatial_dims", "facts"),
    [
        (torch.device("cpu"), torch.bfloat16, 3, {}),
        (GPU, torch.float32, 3, {}),
        (GPU, torch.bfloat16, 2, {}),
        (GPU, torch.bfloat16, 3, {"takes_cudnn": True}),
        (GPU, torch.bfloat16, 3, {"cudnn": 92000}),
        (GPU, torch.bfloat16, 3, {"cudnn": 91500, "torch_version": "2.8.0"}),
        (GPU, torch.bfloat16, 3, {"cudnn": 90701, "torch_version": "2.8.0"}),
        (GPU, torch.bfloat16, 3, {"cudnn": None}),
    ],
)
def test_nothing_is_amiss(machine, device, dtype, spatial_dims, facts):
    machine(**facts)
    assert mend_half_convolutions(device, dtype, spatial_dims=spatial_dims) is None
    assert torch.backends.cudnn.enabled
