"""Gives the loading of images the bundle's own readers; a config alone, without scripts, has MONAI's."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from monai.transforms import Compose, LoadImaged

__all__ = ["register_readers"]

carried = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]


def register_readers(preprocessing: Any) -> None:
    """Let each ``LoadImaged`` of a transform ask the bundle's readers first, by a file's ending.

    Args:
        preprocessing: a transform, or a ``Compose`` of them at any depth; changed in place.
    """
    if isinstance(preprocessing, Compose):
        for step in preprocessing.transforms:
            register_readers(step)
    elif isinstance(preprocessing, LoadImaged):
        reader = carried("nifti").NiftiReader
        if not any(isinstance(known, reader) for known in preprocessing._loader.readers):
            preprocessing.register(reader())
