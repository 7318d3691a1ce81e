"""Gives the loading of images the bundle's own readers; a config alone, without scripts, has MONAI's."""

from __future__ import annotations

import multiprocessing
import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai.transforms import Compose, LoadImage, LoadImaged
from monai.utils import OptionalImportError

__all__ = ["register_readers"]

carried = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]
SeriesReader = runpy.run_path(str(Path(__file__).with_name("dicom.py")))["SeriesReader"]


def register_readers(preprocessing: Any, *, num_workers: int = 0, is_quiet: bool = False) -> None:
    """Let each ``LoadImage`` of a preprocessing ask the bundle's readers first, for what each of them can read.

    Args:
        preprocessing: a transform, or a ``Compose`` of them at any depth; changed in place.
        num_workers: that will have it; workers that are not forked can't get a class of a script.
        is_quiet: whether warnings of DICOM series are kept back.
    """
    if num_workers and multiprocessing.get_start_method() != "fork":
        return
    for step in preprocessing.flatten().transforms if isinstance(preprocessing, Compose) else [preprocessing]:
        loader = step._loader if isinstance(step, LoadImaged) else step
        if isinstance(loader, LoadImage) and not any(type(one).__name__ == "NiftiReader" for one in loader.readers):
            with suppress(OptionalImportError):  # without ITK no DICOM is read
                loader.register(SeriesReader(is_quiet=is_quiet))
            loader.register(carried("nifti").NiftiReader())
