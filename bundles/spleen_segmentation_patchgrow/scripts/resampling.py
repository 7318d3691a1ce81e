"""Turns and resamples each case as its own header asks for; a config without scripts has MONAI's own steps."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

from monai.transforms import Compose, Orientationd, Spacingd

__all__ = ["resample_per_case"]

carried = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]


def resample_per_case(preprocessing: Any) -> None:
    """Put one step that decides per case in the place of each run of ``Spacingd`` for volumes.

    Orientations get a way back that also holds between axes, at 45 degrees.

    Args:
        preprocessing: a transform, or a ``Compose`` of them at any depth; changed in place, so that what inverts it
            inverts the new steps.
    """
    if not isinstance(preprocessing, Compose):
        return
    steps: list[Any] = []
    for is_spacing, group in itertools.groupby(preprocessing.transforms, lambda step: isinstance(step, Spacingd)):
        run = list(group)
        steps += [_per_case(run)] if is_spacing and _is_for_volumes(run[-1]) else run
    for step in steps:
        if isinstance(step, Orientationd):
            step.ornt_transform = carried("orientation").ReturningOrientation(step.ornt_transform.axcodes, labels=None)
    preprocessing.transforms = tuple(steps)
    for step in steps:
        resample_per_case(step)


def _is_for_volumes(step: Any) -> bool:
    """Whether all axes are resampled; of a network for slices the last is not."""
    return bool((step.spacing_transform.pixdim > 0).all())


def _per_case(run: list[Any]) -> Any:
    first, last = run[0], run[-1]
    options = {"mode": first.mode, "padding_mode": first.padding_mode, "dtype": first.dtype}
    return carried("case_spacing").CaseSpacingd(last.keys, pixdim=last.spacing_transform.pixdim.tolist(), **options)
