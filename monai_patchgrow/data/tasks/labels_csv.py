"""Images and their labels from a CSV file, such as PANDA's slides and grades."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.suffixes import IMAGES_AND_VOLUMES, split_suffix
from monai_patchgrow.data.tasks.faults import Report, refuse
from monai_patchgrow.data.tasks.table import other_separator, read_table

__all__ = ["read_slides_csv"]

_IMAGE_COLUMNS, _GRADE_COLUMNS = ("image_id", "path", "image"), ("isup_grade", "grade", "label")
_PATIENT_COLUMN = "patient_id"


def read_slides_csv(
    csv_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    num_grades: int | None,
    *,
    suffixes: Sequence[str] = IMAGES_AND_VOLUMES,
    image_column: str | None = None,
    grade_column: str | None = None,
    report: Report = refuse,
) -> list[dict[str, Any]]:
    """The images that a CSV file lists, each with its label, all of them checked to be there.

    Args:
        csv_file: with a header, as PANDA's train.csv: one image per row. A column patient_id, where there is one, says
            whose images belong together; other columns are left alone.
        image_dir: folder of the images; an image's path is relative to it, with or without its suffix.
        num_grades: labels are whole numbers, 0 to num_grades - 1 (PANDA: 6); None: they are any finite numbers.
        suffixes: of images whose name stands without one; the first that there is a file with.
        image_column: default the first there is of image_id, path and image.
        grade_column: default the first there is of isup_grade, grade and label.
        report: is told every fault; faulty rows are left out. Default: the first one is raised.

    Returns:
        `{"image": path, "label": int}` per row, in order, and its "patient" where the file names them; labels are
        floats where num_grades is None.

    Raises:
        ValueError: num_grades is below 2.
        DataError: no such file, a missing column, no row, an image that is missing or there twice, a label that is no
            number or out of range, a row without a patient where others have one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a1.tiff").write_bytes(b"")
        ...     _ = Path(folder, "train.csv").write_text("image_id,isup_grade\\na1,3\\n")
        ...     [item["label"] for item in read_slides_csv(f"{folder}/train.csv", folder, 6)]
        [3]
    """
    if num_grades is not None and num_grades < 2:
        raise ValueError(f"num_grades must be 2 or more, got {num_grades}")
    file = Path(csv_file)
    header, rows = read_table(file, row_of="image")
    images = _column(file, header, image_column, _IMAGE_COLUMNS, "the images")
    grades = _column(file, header, grade_column, _GRADE_COLUMNS, "the labels")
    folder, items, lines = _Folder(Path(image_dir), suffixes), [], dict[Path, int]()
    for line, row in rows:
        try:
            image = folder.find(f"line {line}", (row[images] or "").strip())
            if (first := lines.setdefault(image, line)) != line:
                raise _RowError("row-twice", f"line {line}: {row[images]} is on line {first} already")
            label = _label(f"line {line}", row[grades], num_grades)
            items.append({"image": str(image), "label": label, **_patient(f"line {line}", row)})
        except _RowError as error:
            report(error.rule, file, error.what)
    return items


class _RowError(Exception):
    """A row that can't be used."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule, self.what = rule, what


class _Folder:
    """The images of a folder by name; a folder that a name leads to is listed once, for all rows."""

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self.folder, self.suffixes = folder, suffixes
        self._listed = dict[Path, dict[tuple[str, str], Path]]()

    def find(self, where: str, name: str) -> Path:
        """The image of a name: the file that is called so, else the one with a suffix, in whatever case."""
        if not name:
            raise _RowError("table-cell", f"{where}: no name of an image")
        place = self.folder / name
        if _is_image(place):
            return place
        there = self._images_in(place.parent)
        wanted = [split_suffix(place.name), *((place.name, suffix) for suffix in self.suffixes)]
        found = next((there[key] for key in wanted if key in there), None)
        if found is None:
            raise _RowError("image-missing", f"{where}: no image {place}, nor with {' '.join(self.suffixes)}")
        return found

    def _images_in(self, folder: Path) -> dict[tuple[str, str], Path]:
        if folder not in self._listed:
            paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
            self._listed[folder] = {split_suffix(path.name): path for path in paths if _is_image(path)}
        return self._listed[folder]


def _is_image(path: Path) -> bool:
    """Whether it is a file, or the folder of a zarr: a slide's other files may lie in a folder of its name."""
    return path.is_file() or (path.is_dir() and path.suffix.lower() == ".zarr")


def _column(file: Path, header: Sequence[str], wanted: str | None, usual: Sequence[str], of: str) -> str:
    names = [wanted] if wanted else usual
    found = next((name for name in names if name in header), None)
    if found is None:
        what = f"no column {' or '.join(names)} for {of}; there are {', '.join(header)}{other_separator(header)}"
        raise DataError(f"{file}: {what}", rule="table-column")
    return found


def _label(where: str, text: str | None, num_grades: int | None) -> float:
    try:
        number = float((text or "").strip())
    except ValueError:
        number = math.nan
    if num_grades is None:
        if not math.isfinite(number):
            raise _RowError("row-label", f"{where}: a value must be a finite number, got {text!r}")
        return number
    if number not in range(num_grades):
        what = f"{where}: a label must be a whole number from 0 to {num_grades - 1}, got {text!r}"
        raise _RowError("row-label" if math.isnan(number) else "row-class", what)
    return int(number)


def _patient(where: str, row: dict[str, str | None]) -> dict[str, str]:
    if _PATIENT_COLUMN not in row:
        return {}
    if not (patient := (row[_PATIENT_COLUMN] or "").strip()):
        what = f"{where}: no {_PATIENT_COLUMN}: name the patient in every row, or leave the column out"
        raise _RowError("table-cell", what)
    return {"patient": patient}
