"""Whether an NVIDIA card stands idle because torch can't use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import torch

__all__ = ["idle_gpu"]

_SIGNS = ("proc/driver/nvidia/gpus/*", "dev/nvidia[0-9]*")  # of a card, as Linux' driver shows it
_SECONDS_FOR_NVIDIA_SMI = 20


def idle_gpu(root: Path = Path("/")) -> str | None:
    """Return why torch can't use the NVIDIA card that is there, and what would help; None where all is well.

    Nothing is amiss where ``CUDA_VISIBLE_DEVICES`` hides all cards, with ``""`` or ``"-1"``.

    Args:
        root: of the file system.

    Returns:
        One line.
    """
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if torch.cuda.is_available() or is_hidden or torch.version.hip or not _has_card(root):
        return None
    return (
        f"there is an NVIDIA card, but the run is on the CPU, which takes many times as long: {_reason()}; take a "
        "build of torch that suits its driver (scripts/setup.sh, or https://pytorch.org/get-started/locally), or "
        "CUDA_VISIBLE_DEVICES= where the CPU is meant"
    )


def _has_card(root: Path) -> bool:
    if any(any(root.glob(sign)) for sign in _SIGNS):
        return True
    if shutil.which("nvidia-smi") is None:  # it alone tells of a card under Windows' Linux
        return False
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_SECONDS_FOR_NVIDIA_SMI, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.stdout.startswith("GPU ")


def _reason() -> str:
    """What torch says itself, to the end of its first sentence."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return " ".join(str(error).split()).partition(". ")[0]
    return f"torch {torch.__version__} finds no device"
