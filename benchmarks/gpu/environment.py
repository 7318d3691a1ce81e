"""The card, its driver and libraries, and how exact their 3-D convolutions are."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv3d

__all__ = ["describe_environment"]

_SIZES = ((8, 8, 8), (40, 56, 40))


def describe_environment(device: str, folder: Path) -> dict[str, Any]:
    """Versions, memory, and each precision's largest error of a convolution and its gradients, as shares of norms."""
    record: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "driver": _driver(),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        record |= {
            "card": card.name,
            "capability": f"{card.major}.{card.minor}",
            "GiB": round(card.total_memory / 2**30, 1),
        }
    record["conv3d_errors"] = {
        f"{'x'.join(map(str, size))} {name}": _error(size, device, dtype, tf32=tf32)
        for size in (_SIZES if device == "cuda" else _SIZES[:1])  # a CPU takes minutes for the large one
        for name, dtype, tf32 in (
            ("float32", torch.float32, False),
            ("tf32", torch.float32, True),
            ("bfloat16", torch.bfloat16, False),
            ("float16", torch.float16, False),
        )
    }
    return record


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


def _error(size: tuple[int, ...], device: str, dtype: torch.dtype, *, tf32: bool) -> float:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 32, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(32, 32, 3, 3, 3, generator=generator, dtype=torch.float64) / 30
    exact = _convolve(image, weight)
    torch.backends.cudnn.allow_tf32 = tf32
    rough = _convolve(image.to(device, dtype), weight.to(device, dtype))
    return max(float((one - other.double().cpu()).norm() / one.norm()) for one, other in zip(exact, rough, strict=True))


def _convolve(image: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    image, weight = image.requires_grad_(), weight.requires_grad_()
    result = conv3d(image, weight, padding=1)
    return (result.detach(), *torch.autograd.grad(result.square().sum(), (image, weight)))
