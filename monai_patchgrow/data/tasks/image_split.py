"""The split of labelled images: five folds, each class by itself, or what a file of one's own says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.folds import NUM_FOLDS
from monai_patchgrow.data.tasks.labelled_images import count_groups, split_images
from monai_patchgrow.data.tasks.split_file import FileSplit, read_split_file

__all__ = ["find_image_split"]

Items = list[dict[str, Any]]


def find_image_split(
    items: Sequence[dict[str, Any]], *, fold: int | str, split_file: str | os.PathLike[str] | None = None
) -> tuple[Items, Items, tuple[str, ...]]:
    """Split labelled images by `split_images`, or as a file says.

    Args:
        items: as `read_labelled_images` gives them, in any order.
        fold: from 0; "all" trains and validates on all; "test" validates on the images that the file holds out.
        split_file: see `read_split_file`, where a case is an image by its name; None: the five folds of `split_images`.

    Returns:
        Items to train on, items to validate on, and what the user should know, a line each.

    Raises:
        ValueError: there is no such fold, too few images, or a file that can't be used.
    """
    names = frozenset(item["name"] for item in items)
    given = FileSplit("null", frozenset(), names) if split_file is None else read_split_file(split_file, names)
    notes = []
    if left := len(names - given.used - given.test):
        notes.append(f"{given.file} leaves out {left} of the data set's {len(names)} images: they are not used")
    used, held_out = ([item for item in items if item["name"] in part] for part in (given.used, given.test))
    _check_patients(given.file, used, held_out)
    if (sides := given.sides(fold)) is not None:
        training, validation = ([item for item in items if item["name"] in side] for side in sides)
        if fold != "all":
            _check_patients(given.file, training, validation)
        return training, validation, tuple(notes)
    if given.patients:
        used = [{**item, "patient": given.patients[item["name"]]} for item in used]
    if (count := count_groups(used)) < NUM_FOLDS:
        notes.append(f"{count} images, or patients, make {count} folds, not {NUM_FOLDS}")
    training, validation = split_images(used, fold=fold)  # type: ignore[arg-type]
    return training, validation, tuple(notes)


def _check_patients(file: str, training: Items, validation: Items) -> None:
    """Refuse a patient, as the table of labels names them, on both sides."""
    trained = {item["patient"]: item["name"] for item in training if "patient" in item}
    for item in validation:
        if (other := trained.get(item.get("patient"))) is not None:
            what = (
                f"images {other} and {item['name']} of patient {item['patient']} are on both sides: keep them together"
            )
            raise DataError(f"{file}: {what}", rule="split-file")
