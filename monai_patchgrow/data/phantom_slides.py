"""The phantom slides: a small synthetic task of graded slides, laid out as PANDA's."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from monai_patchgrow.data.phantom_slide import PhantomSlide
from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tiff_writer import write_tiled_tiff

__all__ = ["write_phantom_slides"]

_LARGEST_SHARE = 0.8  # of tumour, in the highest grade
_ASPECTS = (0.75, 1.0)


def write_phantom_slides(
    folder: str | os.PathLike[str], *, num_slides: int = 48, size: int = 1024, num_grades: int = 6, seed: int = 0
) -> Path:
    """Write train.csv (image_id, data_provider, isup_grade) and train_images with one tiled TIFF per slide.

    The higher the grade, the more of the tissue is tumour: none at grade 0, four fifths at the highest. Tumour
    differs from other tissue in its texture alone, at full resolution. Grades take turns; slides are of several
    sizes. A folder that holds these very slides is reused.

    Args:
        folder: to write into; made where it is missing.
        num_slides: number of slides, at least 1.
        size: the longer side of a slide, pixels.
        num_grades: grades are 0 to num_grades - 1.
        seed: of the whole task.

    Returns:
        The folder.

    Raises:
        ValueError: no slide, fewer than two grades, a size below 16 pixels, a negative seed, or tifffile isn't there.
        DataError: the folder holds something else.
    """
    if num_slides < 1 or num_grades < 2 or size < 16 or seed < 0:
        raise ValueError(
            "there must be 1 slide, 2 grades and 16 pixels or more, and a seed of 0 or more, got num_slides "
            f"{num_slides}, num_grades {num_grades}, size {size} and seed {seed}"
        )
    target = Path(folder)
    names = [f"phantom_{seed}_{size}_{index:03d}" for index in range(num_slides)]
    table = _table(names, num_grades)
    if _holds(target, table, names):
        return target
    (target / "train_images").mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        share = _LARGEST_SHARE * (index % num_grades) / (num_grades - 1)
        rows = int(size * np.random.default_rng([seed, index]).uniform(*_ASPECTS))
        slide = PhantomSlide((rows, size), seed=[seed, index], tumour=share)
        write_tiled_tiff(target / "train_images" / f"{name}.tiff", slide, level=1)
    (target / "train.csv").write_text(table, encoding="utf-8")  # last: without it the folder isn't complete
    return target


def _table(names: list[str], num_grades: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "data_provider", "isup_grade"])
    writer.writerows([name, "phantom", index % num_grades] for index, name in enumerate(names))
    return text.getvalue()


def _holds(target: Path, table: str, names: list[str]) -> bool:
    """Whether all of the task is there; a folder with other slides is refused."""
    try:
        found = (target / "train.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    if found != table:
        raise DataError(f"{target} holds other slides than these: delete it or name another folder")
    return all((target / "train_images" / f"{name}.tiff").is_file() for name in names)
