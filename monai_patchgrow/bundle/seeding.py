"""Seeds a bundle's run; which of cuDNN's algorithms it takes is told by its handlers alone."""

from __future__ import annotations

import torch
from monai.utils import set_determinism

__all__ = ["seed_all"]


def seed_all(seed: int) -> None:
    """Seed random, NumPy, torch and the transforms that are made from now on, as MONAI's ``set_determinism`` does.

    That function makes cuDNN deterministic as well; here it stays as it is, since the training's
    :class:`monai_patchgrow.handlers.Reproducibility` decides that.

    Args:
        seed: of the run.
    """
    with torch.backends.cudnn.flags():  # what is set within is undone
        set_determinism(seed=seed)
