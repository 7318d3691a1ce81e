"""Images with one label each: found by a table or by folders of classes, and split into folds."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monai_patchgrow.data.slides_csv import read_slides_csv
from monai_patchgrow.data.task import DataError

__all__ = ["find_images", "read_labelled_images", "split_images"]

_TABLES = ("train.csv", "labels.csv")
_IMAGE_FOLDERS = ("train_images", "images", ".")
_SUFFIXES = (".nii", ".nii.gz", ".npy", ".zarr", ".tif", ".tiff", ".svs", ".ndpi", ".mrxs", ".scn", ".bif")
_PICTURES = (".png", ".jpg", ".jpeg")


def read_labelled_images(dataset_dir: str | os.PathLike[str], num_classes: int) -> list[dict[str, Any]]:
    """The images of a folder and their labels.

    Either a table ``train.csv`` or ``labels.csv`` (see `read_slides_csv`) with the images in ``train_images``,
    ``images`` or beside it; or one folder per class, sorted by name, of images.

    Args:
        dataset_dir: folder.
        num_classes: labels are 0 to num_classes - 1.

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
        items = read_slides_csv(table, images, num_classes)
        return [{**item, "name": _name_of(Path(item["image"]), images)} for item in items]
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.suffix != ".zarr" and _images_in(path))
    if len(classes) != num_classes:
        found = ", ".join(path.name for path in classes) or "none"
        raise DataError(
            f"{folder}: neither {' nor '.join(_TABLES)}, nor one folder of images for each of {num_classes} classes; "
            f"folders of images: {found}"
        )
    return [
        {"image": str(path), "label": label, "name": _name_of(path, folder)}
        for label, images in enumerate(classes)
        for path in _images_in(images)
    ]


def find_images(source: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The images of a folder and of the folders in it, or a single one.

    Returns:
        ``{"image": path, "name": str}`` per image, sorted by path.

    Raises:
        DataError: there is none.
    """
    path = Path(source)
    if _is_image(path):
        return [{"image": str(path), "name": _name_of(path, path.parent)}]
    images = _images_in(path, depth="**/*") if path.is_dir() else []
    if not images:
        known = " ".join((*_SUFFIXES, *_PICTURES))
        raise DataError(f"{path}: {'no image in it' if path.is_dir() else 'no such file or folder'}; known are {known}")
    return [{"image": str(image), "name": _name_of(image, path)} for image in images]


def split_images(
    items: Sequence[dict[str, Any]], *, fold: int | Literal["all"], num_folds: int = 5, seed: int = 12345
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split items into those to train on and those to validate on, each class by itself, so that all folds have it.

    The items of a class, sorted by name and shuffled, go to the folds in turn; the next class goes on where the last
    one ended.

    Args:
        items: as `read_labelled_images` gives them, in any order.
        fold: from 0; `"all"` trains on all and validates on all.
        num_folds: at least 2.
        seed: of the shuffle.

    Raises:
        ValueError: there is no such fold, or there are fewer images than folds.

    >>> items = [{"name": name, "label": name in "cd"} for name in "abcdef"]
    >>> [[item["name"] for item in part] for part in split_images(items, fold=0, num_folds=3)]
    [['b', 'c', 'd', 'f'], ['a', 'e']]
    """
    if fold == "all":
        return list(items), list(items)
    if num_folds < 2 or len(items) < num_folds:
        raise ValueError(f"{len(items)} images do not make {num_folds} folds: fold='all' uses all of them")
    if isinstance(fold, bool) or fold not in range(num_folds):
        raise ValueError(f"fold must be one of 0 to {num_folds - 1} or 'all', got {fold!r}")
    ordered = sorted(items, key=lambda item: item["name"])
    of_class = defaultdict(list)
    for number, item in enumerate(ordered):
        of_class[int(item["label"])].append(number)
    random = np.random.RandomState(seed)
    turns = [number for label in sorted(of_class) for number in random.permutation(of_class[label]).tolist()]
    held_out = set(turns[int(fold) :: num_folds])
    train = [item for number, item in enumerate(ordered) if number not in held_out]
    return train, [item for number, item in enumerate(ordered) if number in held_out]


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith((*_SUFFIXES, *_PICTURES)) and path.exists()


def _images_in(folder: Path, depth: str = "*") -> list[Path]:
    found = (path for path in folder.glob(depth) if _is_image(path))
    return sorted(path for path in found if not any(parent.suffix == ".zarr" for parent in path.parents))


def _name_of(path: Path, folder: Path) -> str:
    """The path within the folder, without the suffix, on one level."""
    parts = list(path.relative_to(folder).parts)
    ends = [end for end in (*_SUFFIXES, *_PICTURES) if parts[-1].lower().endswith(end)]
    parts[-1] = parts[-1][: -len(max(ends, key=len))] if ends else parts[-1]
    return "_".join(parts)
