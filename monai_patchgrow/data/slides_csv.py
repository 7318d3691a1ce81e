"""Slides and their grades from a CSV file, such as PANDA's train.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_patchgrow.data.task import DataError

__all__ = ["read_slides_csv"]

_IMAGE_COLUMNS, _GRADE_COLUMNS = ("image_id", "path", "image"), ("isup_grade", "grade", "label")
_SUFFIXES = (".tiff", ".tif", ".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".zarr", ".npy")


def read_slides_csv(
    csv_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    num_grades: int,
    *,
    image_column: str | None = None,
    grade_column: str | None = None,
) -> list[dict[str, Any]]:
    """The slides that a CSV file lists, each with its grade, all of them checked to be there.

    Args:
        csv_file: with a header, as PANDA's train.csv: one slide per row; other columns are left alone.
        image_dir: folder of the slides; a slide's path is relative to it, with or without its suffix.
        num_grades: grades are 0 to num_grades - 1 (PANDA: 6).
        image_column: default the first there is of image_id, path and image.
        grade_column: default the first there is of isup_grade, grade and label.

    Returns:
        `{"image": path, "label": grade}` per row, in order.

    Raises:
        ValueError: num_grades is below 2.
        DataError: no such file, a missing column, no row, a slide that is missing or there twice, a grade out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a1.tiff").write_bytes(b"")
        ...     _ = Path(folder, "train.csv").write_text("image_id,isup_grade\\na1,3\\n")
        ...     [item["label"] for item in read_slides_csv(f"{folder}/train.csv", folder, 6)]
        [3]
    """
    if num_grades < 2:
        raise ValueError(f"num_grades must be 2 or more, got {num_grades}")
    file = Path(csv_file)
    header, rows = _read_rows(file)
    images = _column(file, header, image_column, _IMAGE_COLUMNS, "the slides")
    grades = _column(file, header, grade_column, _GRADE_COLUMNS, "the grades")
    items, lines = [], dict[Path, int]()
    for line, row in rows:
        slide = _find_slide(file, line, Path(image_dir), (row[images] or "").strip())
        if (first := lines.setdefault(slide, line)) != line:
            raise DataError(f"{file}: line {line}: {row[images]} is on line {first} already")
        items.append({"image": str(slide), "label": _grade(file, line, row[grades], num_grades)})
    return items


def _read_rows(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """The header, and the rows with the numbers of their lines."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [(reader.line_num, row) for row in reader]
            header = list(reader.fieldnames or [])
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: no CSV file that can be read ({error})") from None
    if not rows:
        raise DataError(f"{file}: no rows; needed are a header and one row per slide")
    return header, rows


def _column(file: Path, header: Sequence[str], wanted: str | None, usual: Sequence[str], of: str) -> str:
    names = [wanted] if wanted else usual
    found = next((name for name in names if name in header), None)
    if found is None:
        raise DataError(f"{file}: no column {' or '.join(names)} for {of}; there are {', '.join(header)}")
    return found


def _find_slide(file: Path, line: int, folder: Path, name: str) -> Path:
    if not name:
        raise DataError(f"{file}: line {line}: no name of a slide")
    places = [folder / name, *(folder / f"{name}{suffix}" for suffix in _SUFFIXES)]
    slide = next((place for place in places if place.exists()), None)
    if slide is None:
        raise DataError(f"{file}: line {line}: no slide {folder / name}, nor with {' '.join(_SUFFIXES)}")
    return slide


def _grade(file: Path, line: int, text: str | None, num_grades: int) -> int:
    try:
        grade = int((text or "").strip())
    except ValueError:
        grade = -1
    if grade not in range(num_grades):
        raise DataError(f"{file}: line {line}: a grade must be a whole number from 0 to {num_grades - 1}, got {text!r}")
    return grade
