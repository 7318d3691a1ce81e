"""What cuDNN 9.8 to 9.14 means for 3-D convolutions in half precision, and what a run does about it."""

from __future__ import annotations

import torch

from .torch_internals import takes_cudnn

__all__ = ["mend_half_convolutions"]

_FAULTY = range(90800, 91500)  # versions of cuDNN, as torch tells them: 9.8 to 9.14 (torch's issues 163539 and 166643)
_CUDNN_SINCE = (7, 5)  # the compute capability that cuDNN has kernels for from 9.11 on


def mend_half_convolutions(device: torch.device, dtype: torch.dtype, *, spatial_dims: int) -> str | None:
    """Switch cuDNN off where its 3-D convolutions in half precision may be wrong, and return what to tell the user.

    Up to torch 2.8 a cuDNN of 9.8 to 9.14 computes them, wrongly at some large sizes: no small trial shows whether it
    does. From torch 2.9 on torch itself does without such a cuDNN, at up to four times the time and three times the
    memory. cuDNN is loaded, but nothing is computed.

    Args:
        device: of the run.
        dtype: that AMP computes in, or float32.
        spatial_dims: of the network's convolutions.

    Returns:
        One line, or None where nothing is amiss.
    """
    is_concerned = device.type == "cuda" and spatial_dims == 3 and dtype in (torch.bfloat16, torch.float16)
    if not is_concerned or not torch.backends.cudnn.enabled:
        return None
    version, kind = torch.backends.cudnn.version(), str(dtype).removeprefix("torch.")
    if version not in _FAULTY:
        return None
    name = f"cuDNN {version // 10000}.{version // 100 % 100}.{version % 100}"
    if torch.__version__ < "2.9":
        torch.backends.cudnn.enabled = False
        return f"{name} computes some 3-D convolutions in {kind} wrongly: the run does without cuDNN; {_remedy(device)}"
    patch, kernel = (torch.empty(1, 8, *[size] * 3, device=device, dtype=dtype) for size in (8, 3))
    if takes_cudnn(patch, kernel.expand(8, -1, -1, -1, -1)):
        return None
    return (
        f"torch {torch.__version__} does without {name} in 3-D convolutions in {kind}, which take up to four times the "
        f"time and three times the memory: {_remedy(device)}"
    )


def _remedy(device: torch.device) -> str:
    if torch.cuda.get_device_capability(device) < _CUDNN_SINCE:  # a newer cuDNN can't run there
        return "amp=False computes in float32"
    package = f"nvidia-cudnn-cu{str(torch.version.cuda).partition('.')[0]}"
    return f"pip install --no-deps '{package}>=9.15,<10' mends it, amp=False computes in float32"
