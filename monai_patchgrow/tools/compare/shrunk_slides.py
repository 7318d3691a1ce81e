"""Writes a data set of slides again, each shrunk to a picture, as gradient descent with little memory needs them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_patchgrow.data.tiles.open import open_tiles
from monai_patchgrow.data.tiles.source import TensorTiles
from monai_patchgrow.data.tiles.thumbnail import coarse_thumbnail
from monai_patchgrow.data.tiles.write import write_tiled_tiff
from monai_patchgrow.files import write_whole
from monai_patchgrow.tools.verify.parallel import check_all

__all__ = ["shrink_slides"]


def shrink_slides(items: Sequence[dict[str, Any]], folder: Path, *, longer_side: int) -> Path:
    """Write labels.csv and images, each the mean over blocks of its slide's pixels.

    Args:
        items: "image" (path), "label" and "name" each, and their "patient" where slides have one.
        folder: to write into; pictures that are there are kept.
        longer_side: pixels that a picture must not exceed.

    Returns:
        The folder.

    Raises:
        DataError: a slide that can't be read.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    jobs = [(item["image"], folder / "images" / f"{_file_name(item)}.tiff", longer_side) for item in items]
    check_all(_shrink, jobs, unit="slide")
    write_whole(_table(items), folder / "labels.csv")
    return folder


def _file_name(item: dict[str, Any]) -> str:
    return str(item["name"]).replace("/", "_")


def _shrink(job: tuple[str, Path, int]) -> None:
    slide, picture, longer_side = job
    if picture.is_file():
        return
    with open_tiles(slide) as source:
        small = coarse_thumbnail(source, largest=longer_side)
    write_tiled_tiff(picture, TensorTiles(small.round().clamp(0, 255).byte()), tile_size=64)


def _table(items: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    patients = ["patient_id"] if "patient" in items[0] else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", *patients])
    writer.writerows([_file_name(item), item["label"], *([item["patient"]] if patients else [])] for item in items)
    return text.getvalue()
