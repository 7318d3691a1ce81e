"""Images with one label each: found by a table or by folders of classes, and split into folds."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.suffixes import IMAGES_AND_VOLUMES, split_suffix
from monai_patchgrow.data.tasks.faults import Report, refuse
from monai_patchgrow.data.tasks.folds import NUM_FOLDS, count_folds
from monai_patchgrow.data.tasks.labels_csv import read_slides_csv

__all__ = ["count_groups", "find_images", "read_labelled_images", "split_images"]

_TABLES = ("train.csv", "labels.csv")
_IMAGE_FOLDERS = ("train_images", "images", ".")
_PART_OF_A_SLIDE = ".dcm"  # one file per level

_logger = logging.getLogger(__name__)


def read_labelled_images(
    dataset_dir: str | os.PathLike[str],
    num_classes: int,
    *,
    values: bool = False,
    suffixes: Sequence[str] = IMAGES_AND_VOLUMES,
    report: Report = refuse,
) -> list[dict[str, Any]]:
    """The images of a folder and their labels.

    Either a table ``train.csv`` or ``labels.csv`` (see `read_slides_csv`) with the images in ``train_images``,
    ``images`` or beside it; or one folder per class, sorted by name, of images: the log says which is which.

    Args:
        dataset_dir: folder.
        num_classes: labels are 0 to num_classes - 1.
        values: a table's labels are any finite numbers, floats.
        suffixes: of images.
        report: is told every fault of a table's rows. Default: the first one is raised.

    Returns:
        ``{"image": path, "label": int, "name": str}`` per image; names are unique.

    Raises:
        DataError: no such folder, no images, another number of classes, what `read_slides_csv` refuses.
    """
    folder = Path(dataset_dir)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table is not None:
        images = next(folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir())
        num_grades = None if values else num_classes
        return _named(read_slides_csv(table, images, num_grades, suffixes=suffixes, report=report), images)
    found = {path: _images_in(path, suffixes) for path in sorted(folder.iterdir()) if _is_class(path)}
    classes = [path for path, images in found.items() if images]
    if len(classes) != num_classes:
        names = ", ".join(path.name for path in classes) or "none"
        raise DataError(
            f"{folder}: neither {' nor '.join(_TABLES)}, nor one folder of images for each of {num_classes} classes; "
            f"folders of images: {names}",
            rule="class-folders",
        )
    _logger.info("%s: classes: %s", folder, ", ".join(f"{label} {path.name}" for label, path in enumerate(classes)))
    items = [{"image": str(path), "label": label} for label, one in enumerate(classes) for path in found[one]]
    return _named(items, folder)


def find_images(
    source: str | os.PathLike[str],
    *,
    suffixes: Sequence[str] = IMAGES_AND_VOLUMES,
    exclude: Sequence[str | os.PathLike[str]] = (),
) -> list[dict[str, Any]]:
    """The images of a folder and of the folders in it, or a single one.

    Hidden files and folders are left out, and so are DICOM slides, of whose files each holds a part: name one of them.

    Args:
        source: folder or file.
        suffixes: of images.
        exclude: folders that are left out where they are inside the source, such as that of an earlier run's output.

    Returns:
        ``{"image": path, "name": str}`` per image, sorted by path; names are unique.

    Raises:
        DataError: there is none, or a folder that this user may not read.
    """
    path = Path(source)
    if _is_image(path, suffixes):
        return _named([{"image": str(path)}], path.parent)
    if path.is_dir():
        _check_folders(path)
    images = _images_in(path, suffixes, depth="**/*") if path.is_dir() else []
    left_out = {Path(folder).resolve() for folder in exclude} - {path.resolve(), *path.resolve().parents}
    images = [image for image in images if not left_out & set((image.parent.resolve() / image.name).parents)]
    if not images:
        known = " ".join(suffixes)
        raise DataError(f"{path}: {'no image in it' if path.is_dir() else 'no such file or folder'}; known are {known}")
    return _named([{"image": str(image)} for image in images], path)


def split_images(
    items: Sequence[dict[str, Any]], *, fold: int | Literal["all"], num_folds: int = NUM_FOLDS, seed: int = 12345
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split items into those to train on and those to validate on, each class by itself, so that all folds have it.

    The items of a class, sorted by name and shuffled, go to the folds in turn; the next class starts at the fold where
    the last one ended. Items with floats for labels are all of one class. Items of one "patient" stay together, in the
    class of the highest label among them. Fewer images, or patients, than folds make a fold each.

    Args:
        items: as `read_labelled_images` gives them, in any order.
        fold: from 0; `"all"` trains on all and validates on all.
        num_folds: at least 2.
        seed: of the shuffle.

    Raises:
        ValueError: there is no such fold, or fewer than two images, or patients, to split.

    >>> items = [{"name": name, "label": name in "cd"} for name in "abcdef"]
    >>> [[item["name"] for item in part] for part in split_images(items, fold=0, num_folds=3)]
    [['b', 'c', 'd', 'f'], ['a', 'e']]
    """
    if fold == "all":
        return list(items), list(items)
    ordered = sorted(items, key=lambda item: item["name"])
    groups = _groups(ordered)
    num_folds = count_folds(len(groups), of="patient" if len(groups) < len(items) else "image", num_folds=num_folds)
    if isinstance(fold, bool) or fold not in range(num_folds):
        raise ValueError(f"fold must be one of 0 to {num_folds - 1} or 'all', got {fold!r}")
    of_class = defaultdict(list)
    for number, group in enumerate(groups):
        label = max(ordered[place]["label"] for place in group)
        of_class[0 if isinstance(label, float) else int(label)].append(number)
    random = np.random.RandomState(seed)
    turns = [number for label in sorted(of_class) for number in random.permutation(of_class[label]).tolist()]
    held_out = {place for number in turns[int(fold) :: num_folds] for place in groups[number]}
    train = [item for place, item in enumerate(ordered) if place not in held_out]
    return train, [item for place, item in enumerate(ordered) if place in held_out]


def count_groups(items: Sequence[dict[str, Any]]) -> int:
    """How many there are to split: patients, and images whose patient isn't named.

    >>> count_groups([{"patient": "a"}, {"patient": "a"}, {}])
    2
    """
    return len(_groups(items))


def _groups(items: Sequence[dict[str, Any]]) -> list[list[int]]:
    """The places of the items that belong together, in order: those of a patient, else each by itself."""
    places = defaultdict(list)
    for place, item in enumerate(items):
        places[item.get("patient", place)].append(place)
    return list(places.values())


def _is_image(path: Path, suffixes: Sequence[str]) -> bool:
    return split_suffix(path.name)[1] in suffixes and path.exists()


def _check_folders(folder: Path) -> None:
    """Refuse a folder that can't be listed, which ``glob`` leaves out without a word."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: can't be opened ({error.strerror})") from error

    for _, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and not name.lower().endswith(".zarr")]


def _is_class(path: Path) -> bool:
    return path.is_dir() and path.suffix.lower() != ".zarr" and not path.name.startswith(".")


def _images_in(folder: Path, suffixes: Sequence[str], depth: str = "*") -> list[Path]:
    found = (path for path in folder.glob(depth) if _is_image(path, suffixes))
    return sorted(path for path in found if not _is_left_out(path.relative_to(folder)))


def _is_left_out(path: Path) -> bool:
    """Hidden, one of a DICOM slide's files, or a part of a zarr."""
    if path.suffix.lower() == _PART_OF_A_SLIDE or any(part.startswith(".") for part in path.parts):
        return True
    return any(folder.suffix.lower() == ".zarr" for folder in path.parents)


def _named(items: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The items with names of their own: the path within the folder on one level, its suffix only where it must."""
    places = [_place_in(Path(item["image"]), folder) for item in items]
    short = [split_suffix(place)[0] for place in places]
    times = Counter(short)
    names, taken = list[str](), set[str]()
    for place, name in zip(places, short, strict=True):
        unique = name if times[name] == 1 else place
        while unique in taken:
            unique += "_"
        taken.add(unique)
        names.append(unique)
    return [{**item, "name": name} for item, name in zip(items, names, strict=True)]


def _place_in(path: Path, folder: Path) -> str:
    """Of one outside of the folder, its own name."""
    inside = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return "_".join(part for part in inside.parts if part != "..")
