"""What a data set is to the rest of the package: a named task of labelled cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.faults import Report, refuse
from monai_patchgrow.label_classes import LabelClasses, has_regions_or_ignore, parse_label_classes

__all__ = [
    "JSON",
    "Case",
    "DecathlonTask",
    "check_labels",
    "check_numbers",
    "parse_classes",
    "parse_names",
    "read_json",
]

JSON = "dataset.json"
"""The file in a task's folder that says what the task is."""

_BACKGROUND = "background"


@dataclass(frozen=True)
class Case:
    """One image with its label, NIfTI files; the image may be several files, one per channel in order."""

    name: str
    image: Path | tuple[Path, ...]
    label: Path

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of the image, also where it is a single one."""
        return self.image if isinstance(self.image, tuple) else (self.image,)

    def as_item(self) -> dict[str, str | list[str]]:
        """The case as MONAI's dictionary transforms take it; ``LoadImaged`` stacks the files of a list.

        Example:
            >>> Case("scan_1", Path("imagesTr/scan_1.nii.gz"), Path("labelsTr/scan_1.nii.gz")).as_item()
            {'image': 'imagesTr/scan_1.nii.gz', 'label': 'labelsTr/scan_1.nii.gz'}
        """
        files = [str(path) for path in self.image] if isinstance(self.image, tuple) else str(self.image)
        return {"image": files, "label": str(self.label)}


@dataclass(frozen=True)
class DecathlonTask:
    """What a dataset.json says: channels in order, names of label values (0: background), cases by name.

    regions, regions_class_order: as :class:`LabelClasses` has them; none where each value is a class.
    """

    name: str
    channels: tuple[str, ...]
    labels: Mapping[int, str] = field(hash=False)
    cases: tuple[Case, ...]
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    regions_class_order: tuple[int, ...] = ()

    @property
    def classes(self) -> LabelClasses:
        """What the label values stand for."""
        return LabelClasses(self.labels, self.regions, self.regions_class_order)


def read_json(folder: Path) -> Any:
    """The content of a folder's dataset.json.

    Raises:
        DataError: no such folder, no dataset.json in it, or no JSON.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not (path := folder / JSON).is_file():
        raise DataError(f"{folder}: no {JSON}; needed are {JSON}, imagesTr and labelsTr")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not valid JSON ({error})", rule="json-unreadable") from None


def parse_names(folder: Path, content: dict[str, Any], key: str, report: Report = refuse) -> dict[int, str]:
    """The names under a key by number, from 0 without gaps; JSON has the numbers as strings.

    Reports anything else, and then gives no names.
    """
    try:
        names = dict(sorted((int(number), str(name)) for number, name in content[key].items()))
    except (AttributeError, ValueError):
        report("json-key", folder / JSON, f'"{key}" must map numbers to names, such as {{"0": "name"}}')
        return {}
    if not check_numbers(folder, key, list(names), report):
        return {}
    if key == "labels":
        check_labels(folder, names, report)
    return names


def parse_classes(folder: Path, content: dict[str, Any], report: Report = refuse) -> LabelClasses | None:
    """What labels with regions, or with one to ignore, stand for; None for any others.

    Reports what is wrong with them, and then gives no names.
    """
    if not has_regions_or_ignore(content["labels"]):
        return None
    try:
        classes = parse_label_classes(content["labels"], content.get("regions_class_order"))
    except ValueError as error:
        report("label-kind", folder / JSON, str(error))
        return LabelClasses({})
    if not classes.is_written_back:
        what = f'"regions_class_order" {list(classes.regions_class_order)} writes some true regions as other ones'
        report("region-order", folder / JSON, what)
    return classes


def check_numbers(folder: Path, key: str, numbers: list[int], report: Report = refuse) -> bool:
    """Whether sorted numbers are 0, 1, 2, ...; reports others."""
    if numbers and numbers == list(range(len(numbers))):
        return True
    rule = "label-numbers" if key == "labels" else "channel-names"
    report(rule, folder / JSON, f'"{key}" must be numbered 0, 1, 2, ... without gaps, got {numbers}')
    return False


def check_labels(folder: Path, labels: Mapping[int, str], report: Report) -> None:
    """Report names that stand for nothing or for two labels, and a background that isn't 0."""
    known = [name.strip().lower() for name in labels.values()]
    if unclear := sorted({name for name in known if not name or known.count(name) > 1}):
        report(
            "label-names", folder / JSON, f'"labels" has no name, or one name twice: {", ".join(map(repr, unclear))}'
        )
    if _BACKGROUND in known[1:]:
        report("background", folder / JSON, f'"labels" calls {known.index(_BACKGROUND, 1)} background, not 0')
