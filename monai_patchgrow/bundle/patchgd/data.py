"""The images that a classification bundle trains on, validates and classifies."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ignite.distributed as idist

from monai_patchgrow.bundle.item_files import describe_cases, describe_split
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.patchgd.settings import ClassificationSettings
from monai_patchgrow.data.loading.shared_memory import free_shared_bytes, tensor_bytes, workers_that_fit
from monai_patchgrow.data.suffixes import IMAGES, VOLUMES
from monai_patchgrow.data.synthetic.digits import read_digits
from monai_patchgrow.data.synthetic.ultramnist import DIGIT_COUNTS, UltraMNIST
from monai_patchgrow.data.tasks.image_split import find_image_split
from monai_patchgrow.data.tasks.labelled_images import find_images, read_labelled_images
from monai_patchgrow.schedules.arguments import parse_int, parse_sizes

__all__ = [
    "compared",
    "fitting_workers",
    "images_to_classify",
    "labelled_images",
    "preprocessed_by",
    "ultramnist_images",
]

_logger = logging.getLogger(__name__)

_SAMPLED_ITEMS = 8
_LOADERS = 2  # of training and validation: the batches of both lie ready at the same time


def compared(settings: ClassificationSettings, split: tuple[Any, Any]) -> dict[str, Any]:
    """Return what a run that is resumed must have in common with the one before, the files of its images included."""
    if settings.data == "digits":
        return settings.resumed
    names = ([item["name"] for item in side] for side in split)
    return {**settings.resumed, "split": describe_split(*names), "images": describe_cases(*split)}


def ultramnist_images(
    digits_dir: str | None,
    *,
    num_train: int,
    num_val: int,
    image_size: Sequence[int],
    digit_pixels: tuple[int, int] | None = None,
    digit_counts: Sequence[int] = DIGIT_COUNTS,
    seed: int = 0,
) -> tuple[UltraMNIST, UltraMNIST]:
    """Images to train on and to validate on, drawn when they are read, of digits of which none is in both.

    Args:
        digits_dir: folder of MNIST's IDX files; None: scikit-learn's digits.
        num_train: images to train on.
        num_val: images to validate on.
        image_size: rows and columns, the same.
        digit_pixels: see :class:`UltraMNIST`.
        digit_counts: see :class:`UltraMNIST`.
        seed: of the images; those to validate on have the next one.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        size = parse_sizes(image_size, name="image_size")
        if len(set(size)) != 1:
            raise ValueError(f"image_size of UltraMNIST must have as many rows as columns, got {list(size)}")
        digits = [read_digits(digits_dir, split) for split in ("train", "val")]
        _logger.info("digits: %s", "scikit-learn's, no dataset_dir is given" if digits_dir is None else digits_dir)
        pixels = None if digit_pixels is None else _smallest_and_largest(digit_pixels)
        train, val = (
            UltraMNIST(number, size[0], seed + later, drawings, digit_pixels=pixels, digit_counts=digit_counts)
            for later, (number, drawings) in enumerate(zip((num_train, num_val), digits, strict=True))
        )
        return train, val


def labelled_images(
    dataset_dir: str,
    *,
    num_classes: int,
    fold: int | str,
    target: str = "classes",
    volumes: bool = False,
    split_file: str | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images of a folder to train on and to validate on; see `read_labelled_images` and `find_image_split`.

    Args:
        dataset_dir: folder.
        num_classes: labels are 0 to num_classes - 1.
        fold: from 0; `"all"` trains on all and validates on all; `"test"` validates on what the split_file holds out.
        target: see :class:`ImageTarget`; a table's labels for "value" are any numbers.
        volumes: look for volumes instead of 2-D images.
        split_file: a split of one's own; None: the folds of `split_images`.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        if not isinstance(dataset_dir, str | os.PathLike):
            raise ValueError(f"dataset_dir must be one folder, got {dataset_dir!r}")
        options: Any = {"values": target == "value", "suffixes": VOLUMES if volumes else IMAGES}
        items = read_labelled_images(dataset_dir, num_classes, **options)
        training, validation, notes = find_image_split(items, fold=fold, split_file=split_file)
    if idist.get_rank() == 0:
        for note in notes:
            _logger.warning(note)
    return training, validation


def images_to_classify(
    source: str | Sequence[str], *, volumes: bool = False, output_dir: str | None = None
) -> list[dict[str, Any]]:
    """The images of a folder, a single one, or those of a list of both; see `find_images`.

    Args:
        source: folder or file, or a list of them; names must be unique over all.
        volumes: look for volumes instead of 2-D images.
        output_dir: where the evidence of an earlier run may be, which isn't classified.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        outputs = () if output_dir is None else (output_dir, f"{output_dir}/evidence")
        options: Any = {"suffixes": VOLUMES if volumes else IMAGES, "exclude": outputs}
        places = [source] if isinstance(source, str | os.PathLike) else list(source)
        items = [item for place in places for item in find_images(place, **options)]
        first: dict[str, str] = {}
        for item in items:
            if (other := first.setdefault(item["name"], item["image"])) != item["image"]:
                raise ValueError(f"dataset_dir: {other} and {item['image']} would both be called {item['name']}")
        return items


def preprocessed_by(*datasets: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Stands in for a preprocessing where data sets keep what it made: looks items up in them.

    Args:
        *datasets: with the items as their ``data``, dictionaries with a path as their "image".

    >>> from monai.data import Dataset
    >>> dataset = Dataset([{"image": "a.nii"}], lambda item: {"image": [1, 2]})
    >>> preprocessed_by(dataset)({"image": "a.nii"})
    {'image': [1, 2]}
    """
    places = {item["image"]: (dataset, index) for dataset in datasets for index, item in enumerate(dataset.data)}

    def look_up(item: Mapping[str, Any]) -> Any:
        dataset, index = places[item["image"]]
        return dataset[index]

    return look_up


def fitting_workers(settings: ClassificationSettings, *, dataset: Any, batch_size: int) -> int:
    """Return the settings' number of loader workers, or fewer where shared memory does not hold their batches.

    Args:
        settings: of the running config.
        dataset: some of whose items are made, to tell their size; sources of files have none.
        batch_size: images per batch.
    """
    if not settings.num_workers or not len(dataset):
        return settings.num_workers
    places = range(0, len(dataset), max(1, len(dataset) // _SAMPLED_ITEMS))
    largest = 0
    for place in places:
        with suppress(Exception):  # one that can't be read is told, by its name, when training reads it
            largest = max(largest, tensor_bytes(dataset[place]))
    free = free_shared_bytes() / _LOADERS
    return workers_that_fit(settings.num_workers, batch_bytes=largest * batch_size, free_bytes=free)


def _smallest_and_largest(digit_pixels: Any) -> tuple[int, int]:
    if not isinstance(digit_pixels, Sequence) or isinstance(digit_pixels, str) or len(digit_pixels) != 2:
        raise ValueError(f"digit_pixels must be the smallest and the largest digit, as [28,56], got {digit_pixels!r}")
    smallest, largest = (parse_int(pixels, name="digit_pixels") for pixels in digit_pixels)
    return smallest, largest
